"""The README's tables and picture, made from what is committed: ``python -m helpers.readme``."""

import json
import re

import cv2
import numpy as np

from helpers import dermatoscope, paths, results, typeset
from helpers.lesions import CLASSES, LESIONS

SCORES = {
    "accuracy": "accuracy %", "balanced_accuracy": "balanced accuracy %", "macro_f1": "macro-F1", "mel_recall": "melanoma recall %",
    "mel_auc": "melanoma AUC",
}
MODELS = {"": "MobileNetV2", "metadata_only.": "age, sex, site only", "mean_colour.": "mean colour only"}
# What the notebooks found, in sentences that stay true whichever way the numbers fall.
FINDINGS = {
    "02_dedup_split": "A random split of images puts a sibling of {naive.leaked_images_share} % of the test images into training. "
    "Training on siblings (number of seeds: {leak.seeds}) changes the accuracy by {leak.accuracy_gain} points over all test lesions, and on the "
    "{probes_with_sibling} that have one the accuracy by {leak_siblings.accuracy_gain} and the balanced accuracy by "
    "{leak_siblings.balanced_accuracy_gain} points, the melanoma AUC by {leak_siblings.mel_auc_gain}; of {leak.comparisons} differences looked at, "
    "the number that remains after correction is {leak.clear}.",
    "04_imbalance_ablations": "{arms} arms, {runs} runs; seeds of one arm differ by up to {seed_spread.macro_f1} in macro-F1. Chosen by macro-F1 "
    "without the test role: {choice:first}. Highest macro-F1 on test: {macro_f1.macro_f1:best}. Of {comparisons} differences to the baseline, gains "
    "by more than noise: {beats}, losses: {loses}. Most melanomas found at a specificity of 90 % chosen on *calibrate*, in %: "
    "{equal_specificity.sensitivity:best}; arms that find more than the baseline by more than noise: {beats_at_specificity}; fewer: "
    "{loses_at_specificity}. Of {comparisons_corrected} differences of a cure to the plain network moved to equal class shares, "
    "gains: {beats_corrected}, losses: {loses_corrected}.",
    "05_cvae_augmentation": "{runs} runs at equal optimiser steps. Kernel distance to real images: generated ones {kid.generated}, other real ones "
    "{kid.other_half}, blurred ones {kid.blurred}. Of {comparisons} differences to the baseline, gains: {beats}, losses: {loses}; "
    "of these, generated images have {beats_generated} and {loses_generated}, repeated real ones the others. 400 "
    "generated images of each class but the most frequent one, instead of as many repeated real ones, change macro-F1 by "
    "{gain.cvae400.macro_f1} and melanoma recall by {gain.cvae400.mel_recall} points.",
    "06_threshold_analysis": "A melanoma sensitivity of 90 % promised on *calibrate* came out as {at_90.sensitivity} % on test, at a "
    "specificity of {at_90.specificity} %.",
    "07_gradcam": "The hottest point of Grad-CAM lies on the lesion in {gradcam.pointing} % of the images, that of a centred blob in "
    "{blob.pointing} %. Area under the risk-coverage curve (lower is better): {risk_area.confidence} % when the least confident calls are "
    "referred, {risk_area.heat_on_mask} % when those with heat off the lesion are, {risk_area.chance} % by chance.",
}
SIDE = 220  # pixels of each lesion in the picture


def update():
    """Rewrite what stands between the markers of README.md, and draw its picture."""
    file = paths.ROOT / "README.md"
    file.write_text(filled(file.read_text()))
    cv2.imwrite(str(paths.FIGURES / "readme.png"), picture()[..., ::-1])


def filled(text):
    """The README's text with every generated block as the committed results have it.

    Examples
    --------
    >>> filled("<!-- none --> stays <!-- /none -->")
    '<!-- none --> stays <!-- /none -->'
    """
    for name, block in {"results": result_table, "findings": findings, "figures": figure_table, "speed": speed_table}.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        text = pattern.sub(lambda found, block=block: found[1] + block() + "\n" + found[2], text)
    return text


def result_table(preset="course"):
    """Markdown table of the models of notebook 03 on the test role, and where its numbers come from."""
    record = results.read(preset, "03_baseline")
    values, about = record["values"], record["provenance"]
    rows = [[name, *(shown(key, values[prefix + key]) for key in SCORES)] for prefix, name in MODELS.items()]
    n, lesions = values["accuracy"]["n"], values["lesion_accuracy"]["n"]
    origin = (f"HAM10000 test role, fold 0: {n:,} images of {lesions:,} lesions; seeds {', '.join(map(str, about['seeds']))}; "
              f"trained on {', '.join(about['device'])}; commit {about['commit']}, {about['created'][:10]}; "
              "brackets: 95 % lesion-clustered bootstrap. The two opponents weigh all classes alike.")
    return markdown(["model", *SCORES.values()], rows) + f"\n\n{origin}"


def findings(preset="course"):
    """A Markdown list of what the notebooks found, each with its link; notebooks without results are left out."""
    lines = []
    for notebook, sentence in FINDINGS.items():
        if (paths.RESULTS / preset / f"{notebook}.json").is_file():
            record = results.read(preset, notebook)
            text = re.sub(r"\{([\w.:]+)\}", lambda key, record=record: told(record, key[1]), sentence)
            lines.append(f"- [{notebook[:2]}](notebooks/{notebook}.ipynb): {text}")
    return "\n".join(lines)


def told(record, key):
    """A recorded value; for ``table.column:best`` the arm with the highest value of a table's column, and the baseline's.

    For ``choice:first`` the arm chosen without the test role, and how it differs from the baseline on test.

    Examples
    --------
    >>> gap = dict(value=0.01, low=-0.02, high=0.04, n=9)
    >>> record = dict(values={"chosen.macro_f1_difference": gap}, tables=dict(choice=dict(columns=["arm"], rows=[["focal"], ["baseline"]])))
    >>> told(record, "choice:first")
    'focal (difference to the baseline on test 0.010 [−0.020 to 0.040])'
    """
    if key == "choice:first":
        arm, gap = record["tables"]["choice"]["rows"][0][0], record["values"]["chosen.macro_f1_difference"]
        return arm if arm == "baseline" else f"{arm} (difference to the baseline on test {shown('macro_f1', gap)})"
    if not key.endswith(":best"):
        return shown(key, record["values"][key])
    name, column = key.removesuffix(":best").split(".")
    table = record["tables"][name]
    score = {arm["arm"]: arm[column] for arm in (dict(zip(table["columns"], row, strict=True)) for row in table["rows"])}
    best = max(score, key=score.get)
    others = "" if best == "baseline" else f"; baseline {shown(column, score['baseline'])}"
    return f"{best} ({shown(column, score[best])}{others})"


def figure_table():
    """Markdown table of the figures that each notebook draws, read from its cells; pictures of real lesions stay local."""
    rows = []
    for file in sorted((paths.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = ["".join(cell["source"]) for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
        found = [match for cell in cells for match in re.findall(r'book\.figure\(.*?, "(\w+)"(, lesions=True)?\)', cell)]
        names = ", ".join(f"{name}{'*' if lesions else ''}" for name, lesions in found)
        rows.append([f"[{file.stem}](notebooks/{file.name})", names])
    return markdown(["notebook", "figures `figures/<preset>/<notebook>_<figure>.pdf` and `.png`"], rows)


def speed_table():
    """Markdown table of the committed measurements."""
    rows = json.loads((paths.ROOT / "benchmarks" / "results.json").read_text())
    heads = ["name", "value", "unit", "reference", "ratio", "device", "commit", "date"]
    return markdown(heads, [[f"{row[head]:,.4g}" if isinstance(row[head], float) else str(row[head]) for head in heads] for row in rows])


def shown(key, value):
    """A value as the report shows it, without LaTeX."""
    return typeset.show(key, value).replace("$-$", "−").replace("--", "–").replace("(", "[").replace(")", "]")


def markdown(heads, rows):
    """A Markdown table.

    Examples
    --------
    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, *rows]).replace("\n", "\n|" + "---|" * len(heads) + "\n", 1)


def picture():
    """One generated lesion of every class with its name below, (h, w, 3) uint8."""
    tiles = []
    for i, code in enumerate(CLASSES):
        frame = dermatoscope.draw(code, lesion_seed=i + 40, view_seed=3, size=SIDE, artefacts=("hair",) if code == "nv" else ()).image
        start = (frame.shape[1] - SIDE) // 2
        tile = cv2.copyMakeBorder(frame[:, start : start + SIDE], 4, 34, 4, 4, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        name = LESIONS[code].name
        width = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0]
        cv2.putText(tile, name, ((tile.shape[1] - width) // 2, SIDE + 26), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)


if __name__ == "__main__":
    update()
