"""What a report shows: pictures that stay small, and warnings with their sites."""

import base64
import io
import re
from types import SimpleNamespace

import altair as alt
import numpy as np
import vl_convert
from PIL import Image

from actlas.api.pictures import LARGEST_SVG, packed, picture
from actlas.api.report import _curve, _warnings


def points(n):
    values = [{"x": float(x), "y": float(x % 7)} for x in range(n)]
    return alt.Chart(alt.InlineData(values=values)).mark_point().encode(x="x:Q", y="y:Q")


def test_a_chart_of_few_marks_is_svg_and_one_of_many_a_small_png():
    assert picture(points(5), "few").startswith("<svg")
    many = points(3_000)
    assert len(vl_convert.vegalite_to_svg(many.to_dict())) > LARGEST_SVG
    drawn = picture(many, 'many "points"')
    assert len(drawn) < LARGEST_SVG / 2
    alt_text, width, data = re.fullmatch(
        r'<img alt="(.*?)" width="(\d+)" src="data:image/png;base64,(.*)">', drawn
    ).groups()
    assert alt_text == "many &quot;points&quot;"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size[0] // 2 == int(width)


def test_a_packed_picture_is_the_same_and_smaller():
    png = vl_convert.vegalite_to_png(points(300).to_dict(), scale=2)
    smaller = packed(png)
    assert len(smaller) < 0.8 * len(png)
    before, after = (np.asarray(Image.open(io.BytesIO(given))) for given in (png, smaller))
    np.testing.assert_array_equal(before, after)


def test_a_warning_names_its_sites_unless_all_have_it():
    said = {"embed": ["rank 3"], "layers.0": ["rank 3", "slow"], "layers.1": ["rank 3", "slow"]}
    runs = [
        SimpleNamespace(site=site, record=SimpleNamespace(warnings=warnings))
        for site, warnings in said.items()
    ]
    assert _warnings(runs) == ["rank 3", "layers.0, layers.1: slow"]


def test_the_headline_stands_over_its_level_of_chance_where_there_is_one():
    def drawn(**columns):
        rows = [{"site": site, "macro": 0.6} | columns for site in ("layers.0", "layers.1")]
        return _curve(SimpleNamespace(headline="macro"), rows)

    for name in ("chance", "null_macro"):
        assert "dashed: by chance" in drawn(**{name: 0.2})
        assert "stroke-dasharray" in drawn(**{name: 0.2})
    for columns in ({}, {"chance": None}, {"null_micro": 0.2}):
        assert "by chance" not in drawn(**columns)
