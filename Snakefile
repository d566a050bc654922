# The DAG: one rule per kind of work. `make` calls it; so can you: snakemake --cores 2 report/quick.pdf
import os
from pathlib import Path

from helpers import presets, runs

PRESET = config.get("preset", "quick")
SOURCE = presets.PRESETS[PRESET].source
SPLIT = f"data/splits/{SOURCE}.csv"
NOTEBOOKS = sorted(path.stem for path in Path("notebooks").glob("[0-9][0-9]_*.ipynb"))
HELPERS = sorted(str(path) for path in Path("helpers").glob("*.py"))
# Arms whose predictions a notebook reads, with every seed of the preset.
READS = {"02_dedup_split": ["baseline", "leaky"], "03_baseline": ["baseline", "metadata_only", "mean_colour"]}
READS |= {"04_imbalance_ablations": list(presets.STUDY[PRESET]), "06_threshold_analysis": ["baseline"]}
READS |= {"05_cvae_augmentation": list(presets.DOSE_STUDY[PRESET])}
# The planted shortcut is always the phantom's; in `course` notebook 07 trains it by itself, and the weights that are not published.
READS |= {"07_gradcam": ["baseline", "shortcut"] if PRESET == "quick" else ["baseline"]}
MINUTES = {"quick": 10, "course": 60, "full": 720}[PRESET]
# `quick` is made on the spot; the report of the others is made from committed results, and only `make study` trains and runs notebooks.
MAKES = PRESET == "quick" or config.get("study", False)
RESULTS = [f"report/results/{PRESET}/{name}.json" for name in NOTEBOOKS if MAKES or Path(f"report/results/{PRESET}/{name}.json").is_file()]

os.environ.update(TQDM_DISABLE="1", SKIN_PUBLISH="1", PYTHONWARNINGS="ignore")


def runs_for(notebook):
    """Predictions that must be trained for a notebook: those that are not published with a valid key."""
    wanted = [presets.configure(PRESET, arm, seed=seed) for arm in READS.get(notebook, []) for seed in presets.seeds(PRESET, arm)]
    return sorted({f"data/runs/{PRESET}/{runs.twin(c).name}/predictions.csv.gz" for c in wanted if not runs.finished(c, published=True)})


def decides(w):
    """What a run is made of. Of the pictures of our generator its recipe: they need not be there yet."""
    c = presets.configure(PRESET, w.arm, seed=int(w.seed), fold=int(w.fold))
    return runs.key(c) | ({"generated": None} if c.painter else {})


wildcard_constraints:
    arm="[a-z0-9_]+",
    seed="[0-9]+",
    fold="[0-4]",


localrules:
    all,


rule all:
    input:
        f"report/{PRESET}.pdf",


if MAKES:

    rule run:
        input:
            notebook="notebooks/train_run.ipynb",
            split=SPLIT,
        output:
            # `update` keeps the file while the job runs: `fit` itself decides what is still valid.
            update(f"data/runs/{PRESET}/{{arm}}-s{{seed}}-f{{fold}}/predictions.csv.gz"),
        params:
            key=decides,
        log:
            notebook=f"data/runs/{PRESET}/{{arm}}-s{{seed}}-f{{fold}}/train_run.ipynb",
        threads: 1 if PRESET == "quick" else 2
        resources:
            mem_mb=4000,
            runtime=MINUTES,
        shell:
            "python -m helpers.headless {input.notebook} {log.notebook} PRESET={PRESET} ARM={wildcards.arm} SEED={wildcards.seed} FOLD={wildcards.fold}"

    for name in NOTEBOOKS:

        rule:
            name:
                f"notebook_{name}"
            input:
                notebook=f"notebooks/{name}.ipynb",
                helpers=HELPERS,
                split=SPLIT,
                runs=runs_for(name),
            output:
                f"report/results/{PRESET}/{name}.json",
            log:
                notebook=f"data/runs/{PRESET}/notebooks/{name}.ipynb",
            threads: 1
            resources:
                mem_mb=2500,
                runtime=MINUTES,
            shell:
                "python -m helpers.headless {input.notebook} {log.notebook} PRESET={PRESET}"


rule report:
    input:
        results=RESULTS,
        sources=[str(p) for p in Path("report").rglob("*.*") if p.suffix in (".tex", ".sty", ".bib") and "generated" not in p.parts and "build" not in p.parts],
        # What committed results rest on: where a hash no longer fits, the build must notice. Those made on the spot come with their figures.
        behind=[SPLIT, *sorted(str(p) for folder in (f"data/predictions/{PRESET}", f"figures/{PRESET}") for p in Path(folder).glob("*") if not MAKES)],
        code=[*HELPERS, "constraints.txt", "pyproject.toml"],
    output:
        f"report/{PRESET}.pdf",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python -m helpers.report {PRESET}"
