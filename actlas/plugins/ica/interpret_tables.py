"""The tables of `ica_interpret`."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Summary:
    """DistRatio over the axes of one basis; of ICA also what the tour gives."""

    basis: Annotated[str, "ica, pca, random (white axes turned by chance), raw (dimensions)"]
    axes: Annotated[int, "axes of the basis; of raw, dimensions that are not constant"]
    dist_ratio: Annotated[float | None, "mean DistRatio, items ranked by s / |s|"]
    median: Annotated[float | None, "its median"]
    low: Annotated[float | None, "its lower quartile over axes"]
    high: Annotated[float | None, "its upper quartile over axes"]
    dist_ratio_unnormalised: Annotated[float | None, "mean DistRatio, items ranked by s"]
    median_unnormalised: Annotated[float | None, "its median"]
    low_unnormalised: Annotated[float | None, "its lower quartile over axes"]
    high_unnormalised: Annotated[float | None, "its upper quartile over axes"]
    tour_cosine: Annotated[float | None, "mean cosine of consecutive axes in the order of the tour"]
    skewness_cosine: Annotated[float | None, "the same, ordered by skewness"]
    random_cosine: Annotated[float | None, "the same, mean over 20 random orders"]
    tour_hoc: Annotated[float | None, "mean E[s_i² s_j²] of consecutive axes of the tour"]
    skewness_hoc: Annotated[float | None, "the same, ordered by skewness"]
    random_hoc: Annotated[float | None, "the same, mean over 20 random orders"]


@dataclass(frozen=True)
class Axis:
    """Intrusion on one axis, by the distances of stored rows."""

    basis: Annotated[str, "ica, pca, random, raw"]
    axis: Annotated[int, "number of the axis; of raw, among dimensions that are not constant"]
    dist_ratio: Annotated[float | None, "inter / intra, items ranked by s / |s|"]
    intra: Annotated[float, "mean distance between the top items"]
    inter: Annotated[float | None, "mean distance of the top items to intruders"]
    dist_ratio_unnormalised: Annotated[float | None, "inter / intra, items ranked by s"]
    intra_unnormalised: Annotated[float, "mean distance between the top items"]
    inter_unnormalised: Annotated[float | None, "mean distance of the top items to intruders"]
    row: Annotated[int, "the axis's first row by s / |s|"]
    token: Annotated[str | None, "its token; none where rows are whole samples"]
    stable: Annotated[bool | None, "whether `ica` calls the axis stable"]
    tour: Annotated[int | None, "place of the axis in the tour, from 0"]
    tour_cosine: Annotated[float | None, "cosine with the next axis of the tour; none: the last"]


@dataclass(frozen=True)
class FewAxes:
    """What the p largest entries of the product of two rows of length 1 give."""

    basis: Annotated[str, "ica, pca, random"]
    p: Annotated[int, "entries summed; the last is all of them, which is the cosine"]
    overlap: Annotated[float, "share of the nearest rows by cosine that they find"]
    rank_correlation: Annotated[float, "Spearman's, with the cosine, over random pairs of rows"]
    energy_share: Annotated[float, "mean share of |s|² in a row's p largest s²"]


@dataclass(frozen=True)
class Reduction:
    """What p dimensions give, each made of a block of consecutive axes."""

    order: Annotated[
        str, "tour, skewness, random: of the axes that are merged; pca: first principal axes"
    ]
    p: Annotated[int, "dimensions; the last is all of them, which is the cosine"]
    overlap: Annotated[float, "share of the nearest rows by cosine of all axes that they find"]
    rank_correlation: Annotated[float, "Spearman's, with that cosine, over random pairs of rows"]


@dataclass(frozen=True)
class Node:
    """An axis in the maximum spanning tree of the higher-order correlation."""

    axis: Annotated[int, "number of the axis"]
    parent: Annotated[int | None, "the axis it hangs on; none: the root"]
    hoc: Annotated[float | None, "E[s_i² s_j²] with the parent; 1 where independent"]
    cluster: Annotated[int, "spectral cluster, the largest is 0"]
    dist_ratio: Annotated[float | None, "DistRatio of the axis, items ranked by s / |s|"]
    token: Annotated[str | None, "token of its first row"]
    stable: Annotated[bool | None, "whether `ica` calls the axis stable"]
