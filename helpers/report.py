"""From results to the PDF: the checks of hashes, lookup macros for LaTeX, and the checks of its log."""

import argparse
import inspect
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from helpers import appendix, audit, intervals, paths, presets, prose, results, splits, synthesis, typeset
from helpers.prose import ReportError

MAX_OVERFULL = 5.0  # points
# Which publication a backbone is cited by; others by the library they come from.
BACKBONES = {"mobilenetv2": "sandler2018", "efficientnet": "tan2019"}


def build(preset, *, root=paths.ROOT):
    """Check everything, write the generated LaTeX and build ``report/<preset>.pdf``.

    Parameters
    ----------
    preset : str
    root : Path
        The project.

    Returns
    -------
    Path
        The PDF. An older one is removed first, so that none is left that is not of these results.

    Raises
    ------
    ReportError
        Stale or missing results, a number typed by hand, or a fault in LaTeX's log.
    """
    root = Path(root)
    (root / "report" / f"{preset}.pdf").unlink(missing_ok=True)
    records = load(preset, root=root)
    check_hashes(records, root=root)
    prose.check(root / "report")
    generate(preset, records, root=root)
    return latex(preset, root=root)


def load(preset, *, root=paths.ROOT):
    """Published records of a preset by notebook stem.

    Raises
    ------
    ReportError
        There are none, or one is of another preset.
    """
    files = sorted((root / "report" / "results" / preset).glob("[0-9][0-9]_*.json"))
    if not files:
        raise ReportError(f"there are no results of preset {preset}: run make study PRESET={preset}")
    records = {file.stem: json.loads(file.read_text()) for file in files}
    for stem, record in records.items():
        found = record["provenance"]["preset"]
        if found != preset:
            raise ReportError(f"{stem} holds results of preset {found}: run its notebook with PRESET={preset}")
    return records


def check_hashes(records, *, root):
    """The split, the predictions and the figures are, byte for byte, those that the notebooks recorded.

    Pictures in ``figures/local`` are not redistributed and may be absent.

    Raises
    ------
    ReportError
        The first file that is absent or differs, and the notebook to run again.
    """
    for stem, record in records.items():
        about = record["provenance"]
        split = {f"data/splits/{about['source']}.csv": about["split_sha256"]}
        for file, expected in (split | about["predictions_sha256"] | record["figures"]).items():
            found = results.sha256(root / file)
            if found != expected and (found or not file.startswith("figures/local/")):
                what = "differs from the file" if found else "is absent, the file"
                raise ReportError(f"{file} {what} that the results of {stem} name: restore it or run that notebook again")


def generate(preset, records, *, root):
    """Write ``report/generated/<preset>``: ``results.tex`` with a macro per value, figure and setting, and ``tables/``."""
    folder = root / "report" / "generated" / preset
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tables").mkdir(parents=True)
    texts, figures = {}, {}
    for stem, record in records.items():
        number = stem[:2]
        for key, value in record["values"].items():
            texts |= typeset.spread(f"{number}.{key}", value)
        for name, table in record["tables"].items():
            (folder / "tables" / f"{number}.{name}.tex").write_text(typeset.booktabs(table))
            texts |= typeset.cells(f"{number}.{name}", table)
        for file in record["figures"]:
            figures[number + "." + Path(file).stem.removeprefix(f"{stem}_")] = f"../{Path(file).with_suffix('.pdf')}"
    for name, table in appendix.tables(preset, records, root=root).items():
        (folder / "tables" / f"{name}.tex").write_text(typeset.booktabs(table))
    chosen = facts(preset, records) | settings(preset) | {f"has {stem[:2]}": "yes" for stem in records}
    generated = "true" if chosen["source"] == "phantom" else "false"
    lines = ["% Written by helpers.report from report/results; do not edit.", rf"\generated{generated}"]
    lines += [rf"\defresult{{{key}}}{{{text}}}" for key, text in texts.items()]
    lines += [rf"\deffigure{{{key}}}{{{file}}}" for key, file in figures.items()]
    lines += [rf"\defsetting{{{key}}}{{{typeset.escape(text)}}}" for key, text in chosen.items()]
    (folder / "results.tex").write_text("\n".join(lines) + "\n")


def facts(preset, records):
    """What the title page and the methods say about the origin of the results."""
    abouts = [record["provenance"] for record in records.values()]
    devices = sorted({device for about in abouts for device in about["device"]})
    return dict(preset=preset, source=abouts[0]["source"], commit=", ".join(sorted({about["commit"] for about in abouts})),
                split=abouts[0]["split_sha256"][:12], seeds=max(len(about["seeds"]) for about in abouts),
                devices="; ".join(devices) or "none", created=max(about["created"] for about in abouts)[:10])


def settings(preset):
    """Fields of the frozen preset and settings of the analysis, as the text names them."""
    config = presets.configure(preset)
    names = ("backbone", "image_size", "cache_size", "epochs", "batch_size", "lr", "weight_decay", "dropout", "ema")
    cited = next((key for name, key in BACKBONES.items() if config.backbone.startswith(name)), "wightman2019")
    return {name: getattr(config, name) for name in names} | dict(
        weights=typeset.words(config.weights), select_metric=typeset.words(config.select_metric), backbone_source=rf"\citep{{{cited}}}",
        parts=splits.PARTS, few=intervals.FEW, resamples=f"{intervals.RESAMPLES:,}", level=f"{100 * intervals.LEVEL:.0f}",
        scale=f"{100 * config.scale:.0f}", colour=f"{100 * config.colour:.0f}",
        kept=f"{100 * default(audit.referral, 'coverage'):.0f}", closest=f"{100 * default(synthesis.memorisation, 'share'):.0f}")


def default(function, option):
    """Default of an option that the notebooks leave as it is."""
    return inspect.signature(function).parameters[option].default


def latex(preset, *, root):
    """Run latexmk in ``report/build/<preset>``, check its log and put the PDF in its place."""
    report, folder = root / "report", root / "report" / "build" / preset
    folder.mkdir(parents=True, exist_ok=True)
    call = ["latexmk", "-g", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-silent", f"-jobname={preset}",
            f"-outdir=build/{preset}", rf"-usepretex=\def\preset{{{preset}}}", "main.tex"]
    # No date of today inside, and no log line broken in the middle.
    quiet = {"SOURCE_DATE_EPOCH": "0", "max_print_line": "1000"}
    try:
        done = subprocess.run(call, cwd=report, capture_output=True, text=True, env=os.environ | quiet)
    except FileNotFoundError:
        raise ReportError("latexmk is missing: run make latex, or install TeX Live with its latex-extra collection") from None
    log = folder / f"{preset}.log"
    faults = log_faults(log.read_text(errors="replace") if log.is_file() else "")
    if done.returncode or faults:
        raise ReportError(faults[0] if faults else f"LaTeX failed: {(done.stdout + done.stderr).strip()[-300:]}")
    shutil.copyfile(folder / f"{preset}.pdf", report / f"{preset}.pdf")
    return report / f"{preset}.pdf"


def log_faults(text):
    """Errors, undefined references, missing glyphs and boxes over 5 pt too large in a LaTeX log, as sentences.

    Examples
    --------
    >>> log_faults("Overfull \\\\hbox (7.2pt too wide) in paragraph at lines 3--4")
    ['LaTeX: a box is 7.2 pt too wide, in paragraph at lines 3--4']
    """
    faults = [found.strip() for found in re.findall(r"^! (.+)$", text, re.M)]
    faults += re.findall(r"Warning: ((?:Reference|Citation|Label) .+? (?:undefined|multiply defined))", text)
    faults += re.findall(r"^Missing character: .+$", text, re.M)
    boxes = re.findall(r"^Overfull \\[hv]box \(([\d.]+)pt (too wide|too high)\) ?(.*)$", text, re.M)
    faults += [f"a box is {float(points):.1f} pt {how}, {where}" for points, how, where in boxes if float(points) > MAX_OVERFULL]
    return [f"LaTeX: {fault}" for fault in faults]


def main(arguments=None):
    """``python -m helpers.report PRESET``."""
    parser = argparse.ArgumentParser(prog="python -m helpers.report", description="Check the results and build the report.")
    parser.add_argument("preset", choices=list(presets.PRESETS))
    options = parser.parse_args(arguments)
    try:
        print(paths.relative(build(options.preset)))
    except ReportError as error:
        raise SystemExit(f"report: {error}") from None


if __name__ == "__main__":
    main()
