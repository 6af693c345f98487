"""Drawings over NumPy arrays, which know nothing of training, runs or files.

Each has one method `update(…)` that takes all that is to be shown and writes only the cells that change by it. NaN and
infinity are gaps. Texts are cleaned and cut to cells. Arrays must not be changed after they were given. Colours are
component classes of the widget, to be set in a stylesheet; nothing is told by colour alone.

    LineChart().update([Line("train", x, y), Line("validation", x, y, "validation", "dashed")], title="", log=False,
                       last=None, smoothing=0.0, cursor=None, low=None, high=None, end=None, window=None, unit="")
        Line(name, x, y, colour="train", dash="solid", least=None, most=None); colour: "train", "validation" or
        "line-1" … "line-8"; dash: "solid", "dashed" or "dotted"; what lies from least to most is a band of sparse dots.
        last: only so much of x from its end; window: x from one value to another; end: how far x goes on at least.
        cursor: 0 … 1 across the plot, whose columns begin at the cell LABEL; values_at(cursor) gives x and
        {name: value}. Classes: line-chart--train, --validation, --line-1 …, --axis, --title, --cursor
    Sparkline().update(values, log=False, low=None, high=None, ascii=False); class sparkline--line
        spark(values, width, …) is the same as a text of one line
    HeatMap().update(values, labels=(), log=False, low=None, high=None, ticks=()); values (rows, columns); ticks: texts
        spread evenly below; classes heat-map--1 … --5 from low to high, --label
    Bar().update(share, text=""); share 0 … 1; classes bar--full, --empty, --text
    Bars().update([(label, value, text), …]); one line each, as long as its share of the largest; classes bars--label,
        --full, --text
    Image().update(pixels); (h, w), (h, w, 1) or (h, w, 3); whole numbers 0 … 255, or floats 0 … 1
    Histogram().update(counts, edges, log=False); counted(values, bins) gives both; classes histogram--bar, --axis
    Scatter().update(x, y, classes, names=(), field=None, bounds=None); field: class numbers (rows, columns) behind the
        points, from the top left; classes scatter--class-1 … --class-8, --field-1 … --field-8, --axis

The pictures are drawn by functions that know no screen, `draw_line_chart` and its siblings; they return a `Canvas`.
"""
