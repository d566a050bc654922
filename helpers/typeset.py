"""How a recorded value or table looks in the report: the only place where numbers are rounded."""

import re

import pandas as pd

from helpers.lesions import CLASSES

# Parts of a name that are no fraction of cases, and printed with three decimals.
UNITLESS = {"auc", "f1", "holm", "ece", "brier", "temperature", "threshold", "cost", "kid", "frechet", "ratio", "density", "ssim", "error", "nats",
            "rise", "lift", "agreement", "offset"}
MEAN = re.compile(r"(.+[._])?nnb(_\d+)?|.+_size")  # mean counts: lesions biopsied for a melanoma (at a prevalence), diagnoses in a set
WORDS = {"auc": "AUC", "f1": "F1", "dx": "code", "imagenet": "ImageNet", "mel": "melanoma", "kid": "KID", "ssim": "MS-SSIM", "iou": "IoU",
         "road": "ROAD", "ece": "ECE", "brier": "Brier score", "ppv": "PPV", "npv": "NPV", "nnb": "biopsies", "youden": "Youden", "holm": "(Holm)"}
RAW = {"dx", "field", "setting", "notebook"}  # columns of codes and names, printed letter by letter
INTERVAL_END = re.compile(r".+_(low|high)")
AFTER_SCORE = re.compile(r".+_(?=(difference|worst_seed|best_seed)$)")  # the score's own column stands before these


def show(key, value, *, signed_zero=False):
    """A value as the report prints it; the key decides the unit.

    Whole numbers are counts; areas under a curve, F1 and other scores without a unit have three decimals (one from ten on), mean sizes and
    the like two; other fractions in [-1, 1] are per cent with one decimal, without the sign; numbers beyond that (years) have one decimal.

    Parameters
    ----------
    key : str
        Name of the value; the parts between dots and underscores are looked at.
    value : int, float, None, or dict with value, low and high
    signed_zero : bool
        Keep the sign of what rounds to zero, as the ends of intervals do: it tells whether zero is inside.

    Returns
    -------
    str
        LaTeX; an undefined value is a dash.

    Examples
    --------
    >>> show("mel_auc", 0.91234), show("accuracy", 0.8137), show("images", 10015), show("mean_images", 92.2)
    ('0.912', '81.4', '10,015', '92.2')
    >>> show("accuracy", dict(value=0.8137, low=0.797, high=0.83)), show("auc_df", None)
    ('81.4 (79.7--83.0)', '--')
    >>> show("rise", -0.0001), show("rise", dict(value=0.01, low=-0.0001, high=0.02))
    ('0.000', '0.010 ($-$0.000 to 0.020)')
    """
    if isinstance(value, dict) and value["value"] is None:
        return "--"
    if isinstance(value, dict):
        low, high = (show(key, value[end], signed_zero=True) for end in ("low", "high"))
        return f"{show(key, value['value'])} ({low}{' to ' if '$-$' in low + high else '--'}{high})"
    if value is None:
        return "--"
    if isinstance(value, int):
        text = f"{value:,}"
    elif is_unitless(key):
        text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    elif is_mean(key):
        text = f"{value:.2f}"
    else:
        text = f"{100 * value if abs(value) <= 1 else value:.1f}"
    return text.replace("-", "$-$" if signed_zero or float(text.replace(",", "")) else "")


def is_unitless(key):
    """Whether a value is an area, an F1, an error of calibration and the like, which are not printed in per cent."""
    return bool(UNITLESS & set(re.split(r"[._]", key)))


def is_mean(key):
    """Whether a value is a mean count, which is printed with two decimals.

    Examples
    --------
    >>> is_mean("06.conformal.all.marginal_size"), is_mean("nnb_11"), is_mean("size"), is_mean("cell_pixels")
    (True, True, False, False)
    """
    return bool(MEAN.fullmatch(key))


def spread(key, value):
    """Lookup keys and texts of one value: an interval also gives its bare ``.value`` and its ``.n``.

    Examples
    --------
    >>> spread("03.accuracy", dict(value=0.8137, low=0.797, high=0.83, n=1203))
    {'03.accuracy': '81.4 (79.7--83.0)', '03.accuracy.value': '81.4', '03.accuracy.n': '1,203'}
    """
    if not isinstance(value, dict):
        return {key: show(key, value)}
    return {key: show(key, value), f"{key}.value": show(key, value["value"]), f"{key}.n": show("n", value["n"])}


def cells(key, table):
    """Lookup keys and texts of the numbers in a table whose first column names the rows.

    Examples
    --------
    >>> cells("02.roles", dict(columns=["role", "mel", "nv"], rows=[["test", 223, 1341]]))
    {'02.roles.test.mel': '223', '02.roles.test.nv': '1,341'}
    """
    out = {}
    for row in table["rows"]:
        numbers = {column: cell for column, cell in zip(table["columns"], row, strict=True) if not isinstance(cell, str)}
        if isinstance(row[0], str):
            out |= {f"{key}.{row[0]}.{column}": show(column, cell) for column, cell in numbers.items()}
    return out


def booktabs(table):
    """A recorded table as a booktabs tabular; ``x_low`` and ``x_high`` are folded into column x, texts are set left.

    Parameters
    ----------
    table : dict
        ``columns`` and ``rows``, as :meth:`helpers.results.Book.table` records them.

    Returns
    -------
    str
        LaTeX; the heads of fractions say per cent.

    Examples
    --------
    >>> table = dict(columns=["dx", "recall", "recall_low", "recall_high"], rows=[["mel", 0.5, 0.25, 0.75]])
    >>> print(booktabs(table).splitlines()[4])
    mel & 50.0 (25.0--75.0) \\\\
    """
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    names = [column for column in table["columns"] if not INTERVAL_END.fullmatch(column)]
    if len(names) < len(table["columns"]) and "dx" in names:
        # Intervals are wide: the code stands for the name.
        names = [name for name in names if name != "name"]
    columns = [column_of(name, rows) for name in names]
    layout = "".join("l" if any(isinstance(row[name], str) for row in rows) else "r" for name in names)
    frame = pd.DataFrame({head: texts for head, texts in columns})
    return frame.style.hide(axis="index").to_latex(hrules=True, column_format=layout)


def column_of(name, rows):
    """Head and texts of one column, whose name decides the unit; a column with any fraction has no counts."""
    raw = [row[name] for row in rows]
    fractions = [cell for cell in raw if isinstance(cell, float)]
    head = escape(name if name in CLASSES else words(AFTER_SCORE.sub("", name)))
    if fractions and not is_unitless(name) and not is_mean(name) and max(map(abs, fractions)) <= 1:
        head += r" (\%)"
    texts = []
    for row, cell in zip(rows, raw, strict=True):
        cell = float(cell) if fractions and isinstance(cell, int) else cell
        whole = dict(value=cell, low=row[f"{name}_low"], high=row[f"{name}_high"]) if f"{name}_low" in row else cell
        texts.append(escape(cell if name in RAW else words(cell)) if isinstance(cell, str) else show(name, whole))
    return head, texts


def words(name):
    """A name as prose has it.

    Examples
    --------
    >>> words("macro_f1"), words("metadata_only")
    ('macro F1', 'metadata only')
    """
    return " ".join(WORDS.get(word, word) for word in str(name).replace("_", " ").split())


def escape(value):
    """Text safe for LaTeX.

    Examples
    --------
    >>> print(escape("mean_colour & 5 %"))
    mean\\_colour \\& 5 \\%
    """
    return re.sub(r"([_&%#$])", r"\\\1", str(value))
