"""Figures: every function draws on the axes it is given and returns them; saving is for ``results``."""

from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from helpers.lesions import CLASSES, LESIONS
from helpers.typeset import words

TEXT_WIDTH = 6.3  # inches, the report's
COLOURS = dict(zip(CLASSES, sns.color_palette("colorblind", 7), strict=True))
INK = "#30475e"


def style():
    """House style: the report's kind of letters (Times), embedded as such, light grid, sizes for its text width."""
    sns.set_theme(context="paper", style="whitegrid", font="STIXGeneral", font_scale=1.1, rc={"mathtext.fontset": "stix",
        "figure.dpi": 110, "savefig.bbox": "tight", "pdf.fonttype": 42, "axes.titlesize": "medium", "axes.edgecolor": "0.4",
        "figure.constrained_layout.use": True, "legend.frameon": False, "image.cmap": "cividis"})


def canvas(columns=1, *, rows=1, height=2.6, width=TEXT_WIDTH, **options):
    """Figure and axes at the report's text width; height in inches for each row."""
    return plt.subplots(rows, columns, figsize=(width, height * rows), **options)


def class_counts(frame, *, ax):
    """Images and lesions per diagnosis on a logarithmic axis, each bar with its count."""
    counts = frame.groupby("dx").agg(images=("image_id", "size"), lesions=("lesion_id", "nunique")).loc[list(CLASSES)]
    y = np.arange(len(counts))
    for shift, column, colour, hatch in ((-0.2, "images", INK, ""), (0.2, "lesions", "#c9d6df", "//")):
        ax.barh(y + shift, counts[column], height=0.38, color=colour, hatch=hatch, edgecolor=INK, label=column)
        for at, value in zip(y + shift, counts[column], strict=True):
            ax.text(value * 1.05, at, f"{value:,}", va="center", fontsize="x-small")
    ax.set(xscale="log", xlabel="count (logarithmic)", xlim=(None, counts.to_numpy().max() * 2.2))
    ax.set(yticks=y, yticklabels=[LESIONS[code].name for code in counts.index])
    ax.invert_yaxis()
    ax.legend(loc="upper right")
    return ax


def share_by(frame, column, *, ax, order=None):
    """Diagnoses within each value of a column, as a heat map of row percentages with n."""
    table = pd.crosstab(frame[column], frame["dx"]).reindex(columns=list(CLASSES), fill_value=0)
    table = table.loc[order] if order is not None else table
    share = 100 * table.div(table.sum(axis=1), axis=0)
    sns.heatmap(share, annot=True, fmt=".0f", cmap="cividis", vmin=0, vmax=100, cbar=False, ax=ax, annot_kws={"fontsize": "x-small"})
    ax.set(xlabel="diagnosis", ylabel="", title="% of each row")
    ax.set_yticklabels([f"{name} (n={n:,})" for name, n in table.sum(axis=1).items()], rotation=0)
    return ax


def ages(frame, *, ax):
    """Age distribution of every diagnosis, as boxes in years."""
    sns.boxplot(frame, x="age", y="dx", order=list(CLASSES), color="#c9d6df", fliersize=1.5, linewidth=0.8, ax=ax)
    ax.set(xlabel="age (years)", ylabel="diagnosis")
    return ax


def mean_colours(frame, measured, *, ax):
    """Mean red against mean blue of every image; the class means as large markers."""
    ax.scatter(measured["red"], measured["blue"], s=2, color="0.75", rasterized=True)
    for code, marker in zip(CLASSES, "osD^vPX", strict=True):
        own = measured[(frame["dx"] == code).to_numpy()]
        ax.scatter(own["red"].mean(), own["blue"].mean(), s=45, marker=marker, color=COLOURS[code], edgecolor="black", zorder=3, label=code)
    ax.set(xlabel="mean red (0-1)", ylabel="mean blue (0-1)")
    ax.legend(title="class mean", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def tiles(n, *, columns, width, ratio):
    """A figure of n square tiles without axes, row by row; ``ratio`` leaves room for titles."""
    rows = -(-n // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(width, rows * width / columns * ratio), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    return fig, axes.flat


def gallery(images, titles, *, columns=7, width=TEXT_WIDTH):
    """A figure of (h, w, 3) images with short titles, row by row."""
    fig, axes = tiles(len(images), columns=columns, width=width, ratio=0.95)
    for ax, image, title in zip(axes, images, titles, strict=False):
        ax.imshow(image)
        ax.set_title(title, fontsize="x-small")
    return fig


def learning_curves(histories, *, axes, metric):
    """Training loss, and the select-role score that chooses the epoch, one line per seed; the chosen epoch is marked."""
    for (seed, history), marker, dashes in zip(histories.items(), cycle("osD^v"), cycle(("-", "--", ":", "-.")), strict=False):
        style_of = dict(marker=marker, linestyle=dashes, markersize=4, label=f"seed {seed}")
        axes[0].plot(history["epoch"] + 1, history["train_loss"], **style_of)
        line = axes[1].plot(history["epoch"] + 1, history[f"select_{metric}"], **style_of)[0]
        best = history.loc[history[f"select_{metric}"].idxmax()]
        axes[1].plot(best["epoch"] + 1, best[f"select_{metric}"], marker="o", markersize=11, fillstyle="none", color=line.get_color())
    axes[0].set(xlabel="epoch", ylabel="training loss (nats)")
    axes[1].set(xlabel="epoch", ylabel=f"{words(metric)} on select")
    axes[1].legend(loc="lower right")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    return axes


def confusion(matrix, *, ax):
    """Confusion matrix: colour is the share of the true class, the number the count of images."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    sns.heatmap(share, annot=matrix, fmt="d", cmap="Greys", vmin=0, vmax=1, xticklabels=CLASSES, yticklabels=CLASSES, linewidths=0.4,
                cbar_kws={"label": "share of the true class"}, annot_kws={"fontsize": "small"}, ax=ax)
    ax.set(xlabel="predicted", ylabel="reference diagnosis")
    return ax


def intervals(table, *, ax, reference=None):
    """Points with 95 % intervals, one row each; ``table`` has an index of names and columns value, low, high."""
    y = np.arange(len(table))
    error = [table["value"] - table["low"], table["high"] - table["value"]]
    ax.errorbar(table["value"], y, xerr=error, fmt="o", color=INK, capsize=3, markersize=4)
    if reference is not None:
        ax.axvline(reference, color="0.4", linestyle="--", linewidth=1)
    ax.set(yticks=y, yticklabels=table.index, ylim=(len(table) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    ax.locator_params(axis="x", nbins=4)
    return ax


def forest(table, score, *, ax, alpha=0.05):
    """Differences with 95 % intervals, one row an arm; a filled point differs from the baseline after Holm's correction.

    ``table`` is that of :func:`helpers.study.differences`; crosses are the worst and the best seed.
    """
    names = {"difference": "value", "difference_low": "low", "difference_high": "high"}
    shown = table[table["score"] == score].dropna(subset=["difference"]).rename(columns=names).set_index("arm")
    intervals(shown, ax=ax, reference=0)
    for seed in ("worst_seed", "best_seed"):
        ax.plot(shown[seed], np.arange(len(shown)) + 0.27, "x", color="0.35", markersize=3)
    open_ones = np.flatnonzero(~(shown["p_holm"] < alpha))
    ax.plot(shown["value"].iloc[open_ones], open_ones, "o", color="white", markersize=2.4, zorder=4)
    ax.set(xlabel=words(score), ylabel="")
    ax.margins(x=0.12)
    return ax


def doses(table, score, *, ax):
    """A score against the dose, with 95 % intervals, from :func:`helpers.study.doses`: generated images a line, repeated real ones beside it."""
    rows = table[(table["score"] == score) & (table["kind"] != "other")].sort_values("dose")
    start = rows["kind"] == "nothing"
    for kind, marker, shift in (("generated", "o", 0.0), ("repeated", "s", 8.0)):
        own = rows[start | (rows["kind"] == kind)]
        error = [own["mean"] - own["mean_low"], own["mean_high"] - own["mean"]]
        ax.errorbar(own["dose"] + shift, own["mean"], yerr=error, marker=marker, linestyle="-" if kind == "generated" else ":", capsize=3, label=kind)
    ax.set(xlabel="added per minority class", ylabel=words(score))
    return ax


def vae_curves(history, *, axes):
    """Reconstruction error (root of the mean square, 0-255) and KL divergence (nats per image), epoch by epoch."""
    for ax, column, label in zip(axes, ("pixel_error", "kl"), ("reconstruction error (0-255)", "KL divergence (nats)"), strict=True):
        ax.plot(history["epoch"] + 1, history[column], marker="o", markersize=3, color=INK)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
    return axes


def recalls(table, *, ax):
    """Heat map of recall per arm (rows) and class (columns), in per cent."""
    sns.heatmap(100 * table, annot=True, fmt=".0f", cmap="cividis", vmin=0, vmax=100, cbar=False, ax=ax, annot_kws={"fontsize": "small"})
    ax.set(xlabel="diagnosis", ylabel="", title="recall (%), mean of the seeds")
    ax.tick_params(axis="y", rotation=0)
    return ax


def trade(table, *, x, y, ax):
    """One score against another, every arm a marker: its mean is the large one, its runs are the small ones, in front."""
    markers = dict(zip(table["arm"].unique(), "oXsP^vD*<>", strict=False))
    shared = dict(x=x, y=y, hue="arm", style="arm", markers=markers, palette="colorblind", ax=ax)
    sns.scatterplot(table.groupby("arm", sort=False, as_index=False)[[x, y]].mean(), s=110, edgecolor="black", **shared)
    sns.scatterplot(table, s=32, edgecolor="white", linewidth=0.5, legend=False, **shared)
    ax.set(xlabel=words(x), ylabel=words(y))
    sns.move_legend(ax, "center left", bbox_to_anchor=(1.0, 0.5), title=None)
    return ax


def reliability(tables, *, ax):
    """Said against observed frequency, one line a model; the size of a point is its number of images."""
    ax.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    for marker, (name, table) in zip("os^Dv", tables.items(), strict=False):
        shown = dict(marker=marker, markersize=2, linewidth=1, label=f"{name} (n={table['n'].sum():,})")
        line = ax.plot(table["said"], table["observed"], **shown)[0]
        ax.scatter(table["said"], table["observed"], s=4 + 36 * table["n"] / table["n"].max(), marker=marker, color=line.get_color())
    ax.set(xlabel="said (mean probability)", ylabel="observed (frequency)", aspect="equal")
    ax.set(ylim=(-0.05, 1.06 + 0.1 * len(tables)), xticks=np.linspace(0, 1, 5), yticks=np.linspace(0, 1, 5))
    ax.legend(fontsize="x-small", loc="upper left", markerscale=2, frameon=True, framealpha=1, edgecolor="none")
    return ax


def band(table, *, x, y, ax, label=None, **options):
    """A curve with its pointwise 95 % band, from columns ``x``, ``y``, ``low`` and ``high``."""
    line = ax.plot(table[x], table[y], label=label, **options)[0]
    ax.fill_between(table[x], table["low"], table["high"], color=line.get_color(), alpha=0.2, linewidth=0)
    ax.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    return ax


def heat(view, mask, heatmap, *, ax, title=""):
    """One picture: the network's view in grey, the heat over it, the outline of the lesion (white on black) and a short title."""
    grey = np.asarray(view, dtype=float).mean(-1)
    ax.imshow(grey, cmap="gray", vmin=0, vmax=255)
    if heatmap is not None:
        ax.imshow(heatmap, cmap="inferno", vmin=0, vmax=1, alpha=0.15 + 0.6 * np.clip(heatmap, 0, 1))
    if mask is not None and mask.any():
        for colour, width in (("black", 2.2), ("white", 1.0)):
            ax.contour(mask, levels=[0.5], colors=colour, linewidths=width)
    ax.set_title(title, fontsize="x-small", pad=2)
    ax.axis("off")
    return ax


def heat_gallery(views, masks, heatmaps, titles, *, columns=7, width=9.0):
    """A figure of :func:`heat` pictures, row by row; an entry of None stays empty."""
    fig, axes = tiles(len(titles), columns=columns, width=width, ratio=1.12)
    for ax, view, mask, heatmap, title in zip(axes, views, masks, heatmaps, titles, strict=False):
        if view is not None:
            heat(view, mask, heatmap, ax=ax, title=title)
    return fig
