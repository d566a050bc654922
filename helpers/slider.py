"""A threshold moved by hand: a slider in JupyterLab, a table where no browser is attached."""

import os

import numpy as np
import pandas as pd

FIXED = (0.05, 0.1, 0.2, 0.3, 0.5)


def melanoma(is_mel, p_mel, *, start):
    """Counts and rates of calling melanoma from a threshold on.

    Parameters
    ----------
    is_mel : (n,) bool
        True where the reference diagnosis is melanoma.
    p_mel : (n,) float in [0, 1]
        Melanoma probability of one run.
    start : float
        First position of the slider, and a row of the table.

    Returns
    -------
    DataFrame, or None where the slider was shown
    """
    if not attached():
        return pd.concat([consequences(is_mel, p_mel, cut) for cut in sorted({*FIXED, float(start)})], ignore_index=True).round(3)
    import ipywidgets
    from IPython.display import display

    choose = ipywidgets.FloatSlider(value=start, min=0, max=1, step=0.01, description="threshold", continuous_update=False)
    shown = ipywidgets.interactive_output(lambda cut: display(consequences(is_mel, p_mel, cut).round(3)), {"cut": choose})
    display(ipywidgets.VBox([choose, shown]))
    return None


def attached():
    """Whether JupyterLab (or another Jupyter server) started this kernel; papermill and nbval do not."""
    return "JPY_SESSION_NAME" in os.environ


def consequences(is_mel, p_mel, cut):
    """One row: the threshold, the confusion counts, sensitivity, specificity and PPV.

    Examples
    --------
    >>> consequences([True, False, False], [0.9, 0.8, 0.1], 0.5)[["found", "missed", "false_alarms", "spared"]].iloc[0].tolist()
    [1, 0, 1, 1]
    """
    is_mel, called = np.asarray(is_mel, dtype=bool), np.asarray(p_mel) >= cut
    found, missed = int((is_mel & called).sum()), int((is_mel & ~called).sum())
    alarms, spared = int((~is_mel & called).sum()), int((~is_mel & ~called).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = np.divide(found, found + missed), np.divide(spared, spared + alarms)
        ppv = np.divide(found, found + alarms)
    return pd.DataFrame([dict(threshold=cut, found=found, missed=missed, false_alarms=alarms, spared=spared,
                              sensitivity=sensitivity, specificity=specificity, ppv=ppv)])
