"""The report: what is printed, and every way in which the build must refuse. All records are made up, in temporary folders."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from helpers import appendix, paths, prose, report, typeset
from helpers.lesions import CLASSES, LESIONS

SOURCES = {"quick": "phantom", "course": "ham10000"}
NOTEBOOKS = {"01": "01_eda", "02": "02_dedup_split", "03": "03_baseline", "04": "04_imbalance_ablations",
             "05": "05_cvae_augmentation", "06": "06_threshold_analysis", "07": "07_gradcam"}
# Fractions are intervals, these are plain.
PLAIN = {"images": 1235, "share": 0.3725}
INTERVAL = dict(value=0.8137, low=0.797, high=0.83, n=248)


def looked_up(macro):
    """Keys that the sections look up with a macro."""
    text = "".join(file.read_text() for file in sorted((paths.REPORT / "sections").glob("*.tex")))
    return sorted(set(re.findall(rf"\\{macro}(?:\[\w*\])?\{{([^}}]+)\}}", text)))


def made_up(key):
    """A value of the kind that a key asks for."""
    counts = ("images", "lesions", "max", "missing", "groups", "looked_at", "confirmed", "probes", "sibling", ".all", ".mel", "planted", "alarms")
    return PLAIN["share"] if key.endswith("share") else PLAIN["images"] if key.endswith(counts) else INTERVAL


def table():
    """A table of the shape of ``per_class``, the widest there is."""
    names = ["recall", "precision", "f1", "auc"]
    columns = ["name", "dx", "images", "lesions", *(name + end for name in names for end in ("", "_low", "_high"))]
    rows = [[LESIONS[code].name, code, 1341, 1020, *[0.8137, 0.797, 0.83] * 4] for code in CLASSES]
    return dict(source="made up", columns=columns, rows=rows)


def make(root, preset):
    """A project with made-up published records of a preset."""
    split, runs = f"data/splits/{SOURCES[preset]}.csv", f"data/runs/{preset}/baseline-s0-f0/predictions.csv.gz"
    shutil.copytree(paths.REPORT / "sections", root / "report/sections")
    for name in ("main.tex", "house.sty", "references.bib"):
        shutil.copyfile(paths.REPORT / name, root / "report" / name)
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copyfile(paths.ROOT / name, root / name)
    for file in (split, runs):
        write(root / file, b"some,rows\n")
    about = dict(preset=preset, source=SOURCES[preset], split_sha256=digest(root, split), predictions_sha256={runs: digest(root, runs)},
                 weights_sha256=["random"], commit="0123abc+", device=["cpu"], seeds=[0, 1], created="2026-01-02T03:04:05+00:00")
    for number, stem in NOTEBOOKS.items():
        values, tables, figures = ([key.split(".", 1)[1] for key in looked_up(macro) if key.startswith(number)]
                                   for macro in ("result", "resulttable", "resultfigure"))
        figures = {f"figures/{preset}/{stem}_{name}.pdf": b"" for name in figures}
        for file in figures:
            write(root / file, b"")
            Figure(figsize=(6.3, 1)).savefig(root / file)
            figures[file] = digest(root, file)
        record = dict(provenance=about, figures=figures, tables={name: table() for name in tables},
                      values={key: made_up(key) for key in values if not key.endswith(".n")})
        write(root / f"report/results/{preset}/{stem}.json", json.dumps(record).encode())
    return root


def write(file, content):
    """Write bytes, with the folders that they need."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def digest(root, file):
    """Sha256 of a file of a made-up project."""
    return hashlib.sha256((root / file).read_bytes()).hexdigest()


def edit(root, stem, change, preset="quick"):
    """Change a record in place."""
    file = root / f"report/results/{preset}/{stem}.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A made-up quick project, never changed."""
    return make(tmp_path_factory.mktemp("quick"), "quick")


@pytest.fixture
def project(quick, tmp_path):
    """A copy of the made-up quick project, to be spoilt."""
    return shutil.copytree(quick, tmp_path / "project")


def refused(root, preset="quick"):
    """The sentence with which a build stops; no PDF is left behind."""
    write(root / f"report/{preset}.pdf", b"an older one")
    with pytest.raises(report.ReportError) as caught:
        report.build(preset, root=root)
    assert not (root / f"report/{preset}.pdf").exists()
    return str(caught.value)


@pytest.mark.parametrize("file", [
    "data/splits/phantom.csv", "data/runs/quick/baseline-s0-f0/predictions.csv.gz", "figures/quick/03_baseline_confusion.pdf"])
def test_a_doctored_or_lost_file_is_named(project, file):
    content = (project / file).read_bytes()
    write(project / file, content[:-1] + b"#")
    assert refused(project).startswith(f"{file} differs")
    (project / file).unlink()
    assert refused(project).startswith(f"{file} is absent")


def test_results_of_another_preset_or_none(project):
    assert "run make study PRESET=course" in refused(project, "course")
    edit(project, "03_baseline", lambda record: record["provenance"].update(preset="course"))
    assert refused(project) == "03_baseline holds results of preset course: run its notebook with PRESET=quick"


@pytest.mark.parametrize("line, found", [
    (r"the accuracy is 85.3\,\% here", "85.3"), (r"\caption{AUC of 0.91}", "0.91"), (r"\textbf{.91}", "91"), ("$n=12$", "12"), ("AUC.91", "91"),
    ("85,3 per cent", "85,3"), ("about 95\n\\% of them", "95"), (r"\citep[with 0.91]{tschandl2018}", "0.91"), ("accuracy85", "85"),
    (r"accuracy of\space85\,\%", "85"), ("Eighty-five per cent", "Eighty"), (r"eighty-two\,\%", "eighty"), (r"eighty-two \%", "eighty"),
    ("eighty two per cent", "eighty"), (r"two\,\% more", r"two\,\%"), ("two thirds of the melanomas", "thirds"), ("every fifth of them", "fifth of"),
    ("half the melanomas", "half the"), ("nine out of ten", "nine out of ten"),
    (r"\newcommand{\x}{y}", r"\newcommand"), (r"the accuracy is \acc", r"\acc"), (r"a\\\acc", r"\\\acc"),
    (r"\includegraphics{x}", r"\includegraphics"),
    (r"\adjustimage{width=\textwidth}{../figures/local/old}", r"\adjustimage"), (r"\adjincludegraphics{x}", r"\adjincludegraphics"),
    (r"\begin{tabular}{l}x\end{tabular}", r"\begin{tabular"), (r"\begin{tabularx}{x}{l}", r"\begin{tabularx"),
    (r"\begin {longtable}", r"\begin {longtable"),
    (r"\input{typed}", r"\input"), (r"\input typed", r"\input"), (r"\input{sections/../typed}", r"\input"), (r"\sectionof{04}{typed}", "04"),
    (r"\usepackage{typed}", r"\usepackage"), (r"\resulttable{../../../typed}", r"\resulttable")])
def test_typed_results_are_found_with_file_and_line(project, line, found):
    with (project / "report/sections/data.tex").open("a") as file:
        file.write(f"% 99.9 in a comment is fine\n{line}\n")
    told = refused(project)
    assert re.match(rf"sections/data\.tex, line \d+: {re.escape(repr(found))} is (typed by hand|for house.sty)", told), told


def test_sections_in_folders_are_read_and_must_be_clean(project):
    write(project / "report/sections/more/new.tex", b"all is well\n\\input{sections/data}\n")
    with (project / "report/sections/data.tex").open("a") as file:
        file.write(r"\input{sections/more/new}\sectionof{04}{more/new}")
    prose.check(project / "report")
    write(project / "report/sections/more/new.tex", b"all is well\nin 85 of them\n")
    assert refused(project).startswith("sections/more/new.tex, line 2: '85'")


@pytest.mark.parametrize("line, found", [
    (r"\newcommand{\acc}{82.4}", "82.4"), (r"\newrobustcmd{\intervals}{95\,\% intervals}", "95"), (r"\newcommand{\acc}{eighty per cent}", "eighty"),
    (r"\defresult{03.accuracy}{82.4}", "03"), (r"\defcited{ours}{82.4 \%}", "82.4"), (r"\input{typed}", r"\input")])
def test_house_style_holds_no_typed_results(project, line, found):
    house = project / "report/house.sty"
    text = house.read_text()
    house.write_text(f"{text}{line}\n")
    assert refused(project).startswith(f"house.sty, line {text.count(chr(10)) + 1}: {found!r} is ")


def test_numbers_in_names_and_lookups_are_fine(project):
    text = "\\whenresults{04}{all} \\place{07}{sec:x} F1 of MobileNetV2 on HAM10000 \\citep{tschandl2018}: \\result{03.macro_f1}, \\cref{fig:a1}\n"
    (project / "report/sections/data.tex").write_text(text)
    prose.check(project / "report")


def test_the_sections_of_this_project_are_clean():
    prose.check(paths.REPORT)


def sources(pattern):
    """What a pattern finds in the sections and in the house style."""
    files = [paths.REPORT / "house.sty", *sorted((paths.REPORT / "sections").glob("*.tex"))]
    return [found for file in files for found in re.findall(pattern, re.sub(r"(?<!\\)%.*", "", file.read_text()))]


def test_the_bibliography_is_what_is_cited():
    cited = {key.strip() for keys in sources(r"\\cite[pt]?(?:\[[^]]*\])*\{([^}#]+)\}") for key in keys.split(",")} | {"wightman2019"}
    cited |= set(report.BACKBONES.values()) | set(sources(r"\\defcited\[(\w+)\]"))
    assert cited == set(re.findall(r"^@\w+\{(\w+),", (paths.REPORT / "references.bib").read_text(), re.M))


def test_figures_of_others_were_compared_with_their_source():
    # No program can tell whether a source says so: open it, then add its figures here.
    compared = {("wen2022", "106,950"), ("wen2022", "21"), ("wen2022", "2,236")}
    assert {(source, figure) for source, text in sources(r"(?m)^\\defcited\[(\w+)\]\{[^}]+\}\{(.*)\}$")
            for figure in re.findall(prose.DIGITS, text)} == compared


def test_the_share_kept_is_the_one_looked_up():
    assert f"06.risk.keep_{report.settings('quick')['kept']}" in looked_up("result")


@pytest.mark.parametrize("name, items", [("claim", 44), ("tripod", 27)])
def test_checklists_are_whole_and_point_somewhere(name, items):
    text = (paths.REPORT / "sections" / f"{name}.tex").read_text()
    assert len(re.findall(r"\\asked(?:first)?\{", text)) == items
    labels = set(sources(r"\\label\{([^}]+)\}")) | {"tab:claim", "tab:tripod"}
    assert set(re.findall(r"\\place\{\d\d\}\{([^}]+)\}", text)) <= labels


def test_versions_are_those_that_are_pinned(project):
    (project / "constraints.txt").write_text("timm==9.8.7 ; python_version > '3'\nTorch==1.2.3\nother==5\n")
    table = dict(appendix.versions(project)["rows"])
    assert (table["torch"], table["timm"], table["numpy"]) == ("1.2.3", "9.8.7", "not pinned") and "other" not in table


def test_origin_and_settings_are_generated(project):
    records = report.load("quick", root=project)
    report.generate("quick", records, root=project)
    tables = {name: (project / f"report/generated/quick/tables/about.{name}.tex").read_text() for name in ("records", "settings")}
    assert r"06\_threshold\_analysis & 0123abc+ & 2026-01-02" in tables["records"] and r"backbone & test\_resnet \\" in tables["settings"]


def test_a_changed_number_changes_its_macro(project):
    records = report.load("quick", root=project)
    report.generate("quick", records, root=project)
    generated = project / "report/generated/quick"
    before = (generated / "results.tex").read_text()
    assert r"\defresult{03.accuracy}{81.4 (79.7--83.0)}" in before and r"\generatedtrue" in before
    records["03_baseline"]["values"]["accuracy"]["value"] = 0.5
    report.generate("quick", records, root=project)
    after = (generated / "results.tex").read_text()
    assert set(after.splitlines()) - set(before.splitlines()) == {
        r"\defresult{03.accuracy}{50.0 (79.7--83.0)}", r"\defresult{03.accuracy.value}{50.0}"}
    rows = (generated / "tables/03.per_class.tex").read_text().splitlines()
    assert r"recall (\%)" in rows[2] and rows[8].startswith("mel & 1,341 & 1,020 & 81.4 (79.7--83.0) & 81.4")


@given(st.floats(-1, 1))
def test_fractions_are_rounded_once(value):
    shown = float(typeset.show("accuracy", value).replace("$-$", "-"))
    assert abs(shown - 100 * value) <= 0.05 + 1e-9
    assert abs(float(typeset.show("mel_auc_gain", value).replace("$-$", "-")) - value) <= 0.0005 + 1e-9


@pytest.mark.parametrize("key, value, shown", [
    ("accuracy", -0.0001, "0.0"), ("accuracy", 1.0, "100.0"), ("images", 1, "1"), ("leaked_images", 773.4, "773.4"),
    ("recall_df", None, "--"), ("gain", dict(value=None, low=None, high=None), "--"), ("p_holm", 0.0123, "0.012"),
    ("marginal_size", 0.9643, "0.96"), ("at_90.nnb_5", 1.0, "1.00"), ("kid", 43.2, "43.2"),
    ("gain", dict(value=-0.0134, low=-0.0321, high=0.0053), "$-$1.3 ($-$3.2 to 0.5)")])
def test_rounding_rule(key, value, shown):
    assert typeset.show(key, value) == shown


def test_a_column_of_fractions_has_no_counts():
    text = typeset.booktabs(dict(columns=["model_name", "recall"], rows=[["mean_colour", 0.25], ["all & none", 1], ["no", None]]))
    assert [line for line in text.splitlines() if "&" in line] == [
        r"model name & recall (\%) \\", r"mean colour & 25.0 \\", r"all \& none & 100.0 \\", r"no & -- \\"]


@pytest.mark.parametrize("log, fault", [
    ("! Package house Error: no result 03.x: run the notebook.", "no result 03.x"),
    ("Missing character: There is no X in font Y!", "no X in font"),
    ("LaTeX Warning: Reference `tab:x' on page 1 undefined on input line 3.", "tab:x"),
    ("Package natbib Warning: Citation `x' on page 1 undefined on input line 3.", "Citation `x'"),
    ("LaTeX Warning: Label `fig:x' multiply defined.", "fig:x"),
    ("Overfull \\vbox (9.5pt too high) has occurred", "9.5 pt too high")])
def test_faults_in_the_log(log, fault):
    assert fault in report.log_faults(f"This is a log\n{log}\n")[0]
    assert not report.log_faults("Overfull \\hbox (4.9pt too wide) in paragraph\nUnderfull \\hbox (badness 10000)\n")


latex = pytest.mark.skipif(not (shutil.which("latexmk") and shutil.which("pdftotext")), reason="latexmk or pdftotext is absent")


def text_of(pdf):
    """Text of every page of a PDF, hyphenation undone."""
    pages = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout.split("\f")[:-1]
    return [" ".join(re.sub(r"-\n\s*", "", page).split()) for page in pages]


@pytest.mark.slow
@latex
def test_quick_pdf_follows_its_numbers(project):
    first = text_of(report.build("quick", root=project))
    assert all("Generated data (preset quick)" in page for page in first) and "Grad-CAM points" in first[0]
    assert not any("no results of this preset" in page for page in first)
    assert "0123abc+" in first[0] and "phantom" in first[0] and "81.4 (79.7–83.0)" in first[0]
    edit(project, "03_baseline", lambda record: record["values"]["accuracy"].update(value=0.4242))
    second = text_of(report.build("quick", root=project))
    assert "42.4 (79.7–83.0)" in second[0] and "42.4" not in first[0]
    edit(project, "03_baseline", lambda record: record["values"].pop("mel_auc"))
    assert "no result 03.mel_auc" in refused(project)


@pytest.mark.slow
@latex
def test_course_pdf_has_no_banner_and_no_lesion_pictures(tmp_path):
    root = make(tmp_path, "course")
    (root / "figures/course/01_eda_gallery.pdf").rename(root / "moved.pdf")
    for stem in (NOTEBOOKS["04"], NOTEBOOKS["05"], NOTEBOOKS["07"]):
        (root / f"report/results/course/{stem}.json").unlink()
    edit(root, "01_eda", lambda record: record["figures"].update(
        {"figures/local/course/01_eda_gallery.pdf": record["figures"].pop("figures/course/01_eda_gallery.pdf")}), preset="course")
    pages = text_of(report.build("course", root=root))
    assert not any("Generated data" in page for page in pages)
    assert sum("image not redistributed" in page for page in pages) == 1
    assert any("Sandler" in page for page in pages)
    assert any("notebook 07 (no results of this preset yet)" in page for page in pages) and not any("Grad-CAM points" in page for page in pages)


@pytest.mark.slow
@latex
@pytest.mark.parametrize("kind, key", [("figures", "03.confusion"), ("tables", "03.per_class")])
def test_a_missing_figure_or_table_is_named(project, kind, key):
    file = "figures/quick/03_baseline_confusion.pdf"
    edit(project, "03_baseline", lambda record: record[kind].pop(file if kind == "figures" else "per_class"))
    assert f"no {kind[:-1]} {key}: run the notebook" in refused(project)
