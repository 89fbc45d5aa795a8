"""The tables and the figure of `ica_align`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from actlas import ResultTable

COLOURS = {
    "ica": "#4c78a8", "pca": "#f58518", "procrustes": "#54a24b", "least squares": "#88d27a",
}  # fmt: skip
GIVEN = {"original": "as it is", "mapped": "after random linear maps"}
MOST_TARGETS = 6  # rows of panels


@dataclass(frozen=True)
class Alignment:
    """How well the words of one target are found from those of the source."""

    target: Annotated[str, "name of the target"]
    ica_p1: Annotated[float, "share of tested words whose first hit is right, by ICA axes matched"]
    pca_p1: Annotated[float, "by principal axes, matched alike"]
    least_squares_p1: Annotated[float, "by a linear map fitted to the words learnt from"]
    procrustes_p1: Annotated[float, "by an orthogonal one"]
    ica_p1_mapped: Annotated[float | None, "by ICA, after a random linear map of each side"]
    pca_p1_mapped: Annotated[float | None, "by principal axes after it"]
    least_squares_p1_mapped: Annotated[float | None, "by a linear map after it"]
    procrustes_p1_mapped: Annotated[float | None, "by an orthogonal one after it"]
    chance_p1: Annotated[float, "by guessing: mean of translations listed, over target_words"]
    learnt: Annotated[int, "pairs of words (or rows) that maps and matches were made of"]
    tested: Annotated[int, "words (or rows) of the source that were kept out and looked up"]
    translations: Annotated[float, "mean over these of how many words count as right"]
    words: Annotated[int, "words (or rows) of the source, by which CSLS sees what is crowded"]
    target_words: Annotated[int, "words (or rows) of the target that are searched"]
    dropped: Annotated[int, "dictionary lines of which a word is not there"]


@dataclass(frozen=True)
class Score:
    """Precision of one method on one input."""

    target: Annotated[str, "name of the target"]
    given: Annotated[str, "original, or mapped: both sides after random linear maps"]
    method: Annotated[str, "ica, pca (matched axes), least squares, procrustes (fitted maps)"]
    p1: Annotated[float, "share of tested words whose first hit is a listed translation"]
    p5: Annotated[float, "of which one is among the first 5"]
    p10: Annotated[float, "among the first 10"]
    p1_low: Annotated[float, "95 % interval of p1 over tested words (Wilson), from"]
    p1_high: Annotated[float, "and to"]


def precision(tables: Mapping[str, ResultTable]) -> Any:
    """Precision at 1 of every method, with its interval, and dots for 5 and 10."""
    import altair as alt

    said = {row["target"]: row for row in list(tables["summary"])[:MOST_TARGETS]}
    methods = list(COLOURS)
    colour = alt.Color("method:N", legend=None).scale(domain=methods, range=list(COLOURS.values()))
    panels = []
    for target, row in said.items():
        for given, title in GIVEN.items():
            rows = [s for s in tables["scores"] if (s["target"], s["given"]) == (target, given)]
            if not rows:
                continue
            base = alt.Chart(alt.Data(values=rows)).encode(
                alt.X("method:N", sort=methods, title=None).axis(labelAngle=0)
            )
            y = alt.Y("p1:Q", title="share of words found").scale(domain=[0, 1])
            bars = base.mark_bar(size=38).encode(y, colour)
            span = base.mark_rule().encode(alt.Y("p1_low:Q"), alt.Y2("p1_high:Q"))
            dots = [
                base.mark_point(shape=shape, filled=True, color="#333").encode(alt.Y(f"{n}:Q"))
                for n, shape in (("p5", "triangle-up"), ("p10", "circle"))
            ]
            sought = f"{row['tested']:,} looked for among {row['target_words']:,}"
            note = f"{sought}; by chance {row['chance_p1']:.1g}"
            panels.append(
                alt.layer(bars, span, *dots).properties(
                    width=300, height=200, title=alt.Title(f"{target}, {title}", subtitle=note)
                )
            )
    legend = "bars: first hit right, with 95 % interval; triangle: among 5; dot: among 10"
    return alt.concat(*panels, columns=2).properties(
        title=alt.Title("Words found by what other words taught", subtitle=legend)
    )
