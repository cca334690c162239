from __future__ import annotations

from xml.etree import ElementTree

from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.plot import plot_pair
from tests.helpers.interactions import INTER, ITEMS


def test_the_plot_is_well_formed_and_its_bars_add_up():
    plot = ElementTree.fromstring(plot_pair(measure_pair("a <b> & c", INTER, ITEMS)))
    space = "{http://www.w3.org/2000/svg}"
    assert plot.find(f"{space}title").text == "a <b> & c"
    lengths, times = plot.findall(f"{space}g")
    tips = [bar.text for bar in lengths.iter(f"{space}title")]
    assert tips == ["both domains, 1: 2", "both domains, 4: 1"]
    events = [int(bar.text.rpartition(" ")[2]) for bar in times.iter(f"{space}title")]
    assert sum(events) == 6
