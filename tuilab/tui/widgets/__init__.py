"""Drawings over NumPy arrays, which know nothing of training, runs or files.

Each has one method `update(…)` that takes what is to be shown and draws again only if something changed. NaN and
infinity are gaps. Texts are cleaned. Colours are component classes of the widget, to be set in a stylesheet.

    LineChart().update([Line("train", x, y), Line("validation", x, y, "validation", "dashed")], title="loss",
                       log=False, last=None, smoothing=0.0, cursor=None, low=None, high=None)
        Line(name, x, y, colour, dash, least=None, most=None); colour: "train", "validation" or "line-1" … "line-8";
        dash: "solid", "dashed" or "dotted". last: show only so much of x from its end. cursor: 0 … 1 across the plot.
        values_at(cursor) gives x and {name: value}. Classes: line-chart--train, --validation, --line-1 …, --axis,
        --title, --cursor
    Sparkline().update(values, log=False, low=None, high=None); class sparkline--line
    HeatMap().update(values, labels=(), log=False, low=None, high=None); values (rows, columns); classes heat-map--1 …
        --5 from low to high, --label
    Bar().update(share, text=""); classes bar--full, --empty, --text
    Bars().update([(label, value, text), …]); one line each, as long as its share of the largest; classes bars--label,
        --full, --text
    Image().update(pixels); (h, w) or (h, w, 3), bytes, or floats 0 … 1
    Histogram().update(counts, edges, log=False); classes histogram--bar, --axis
    Scatter().update(x, y, classes, names=(), field=None, bounds=None); field: class numbers (rows, columns) behind the
        points, from the top left; classes scatter--class-1 … --class-8, --axis

The pictures are drawn by functions that know no screen, `draw_line_chart` and its siblings; they return a `Canvas`.
"""
