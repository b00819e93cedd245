"""The document of the measurements as tables for a terminal of 100 columns."""

from rich.table import Table

from diamond.bench.document import Document

ABSENT = "-"


def bench_tables(doc: Document) -> list[Table]:
    """Lay out a document: only the tables that have rows."""
    tables = []
    if doc["peak"] is not None:
        tables.append(_peak(doc))
    if doc["cases"]:
        tables.append(_cases(doc))
    if doc["checks"]:
        tables.append(_checks(doc))
    if doc["startup"]:
        tables.append(_startup(doc))
    if doc["scale"]:
        tables.append(_scale(doc))
    if doc["packing"]:
        tables.append(_packing(doc))
    if doc["agent"]:
        tables.append(_agent(doc))
    return tables


def heading(doc: Document) -> str:
    """The machine and what was measured, in two lines."""
    machine, config = doc["machine"], doc["config"]
    settings = "".join(f", {text}" for text in config["settings"])
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['device']}{', compiled' if machine['compiled'] else ''}, "
        f"torch {machine['torch']}\n"
        f"preset {config['preset']}, {config['game']}{settings}"
    )


def _peak(doc: Document) -> Table:
    table = Table(title="Measured peak of the machine, GFLOP/s", title_justify="left")
    table.add_column("")
    for precision in ("float32", "bfloat16"):
        table.add_column(precision, justify="right")
    labels = {"matmul": "matrix product", "conv": "3x3 convolution"}
    for kind, label in labels.items():
        rates = doc["peak"][kind]
        table.add_row(label, *(f"{rates[name]:.3g}" for name in ("float32", "bfloat16")))
    return table


def _cases(doc: Document) -> Table:
    compared = any(case["released"] for case in doc["cases"])
    table = Table(title="Seconds of one run: median (min-max)", title_justify="left")
    table.add_column("case")
    table.add_column("ours", justify="right")
    if compared:
        table.add_column("released", justify="right")
        table.add_column("ratio", justify="right")
    table.add_column("rate of ours", justify="right")
    table.add_column("GFLOP/s", justify="right")
    table.add_column("of peak", justify="right")
    for case in doc["cases"]:
        sides = [_span(case["ours"])]
        if compared:
            sides += [_span(case["released"]), _number(case["ratio"], ".2f")]
        share = case["share_of_peak"]
        table.add_row(
            case["name"],
            *sides,
            f"{case['ours']['rate']:.4g} {case['unit']}/s",
            _number(case["gflops"], ".3g"),
            ABSENT if share is None else f"{100 * share:.0f} %",
        )
    return table


def _checks(doc: Document) -> Table:
    table = Table(title="Do both compute the same?", title_justify="left")
    for name in ("part", "output"):
        table.add_column(name)
    for name in ("difference", "limit", "largest value"):
        table.add_column(name, justify="right")
    table.add_column("")
    for check in doc["checks"]:
        table.add_row(
            check["part"],
            check["what"],
            _number(check["difference"], ".2g"),
            _number(check["limit"], ".2g"),
            _number(check["scale"], ".3g"),
            "same" if check["passed"] else "DIFFERS",
        )
    return table


def _startup(doc: Document) -> Table:
    table = Table(title="Seconds from the start of a process", title_justify="left")
    table.add_column("what")
    table.add_column("median (min-max)", justify="right")
    for row in doc["startup"]:
        table.add_row(row["command"], _span(row))
    return table


def _scale(doc: Document) -> Table:
    table = Table(title="What grows with what: seconds of one run, our side", title_justify="left")
    table.add_column("axis")
    table.add_column("value", justify="right")
    table.add_column("case")
    table.add_column("median (min-max)", justify="right")
    table.add_column("rate", justify="right")
    table.add_column("memory, MiB", justify="right")
    for row in doc["scale"]:
        table.add_row(
            row["axis"],
            str(row["value"]),
            row["part"],
            _span(row),
            f"{row['rate']:.4g} {row['unit']}/s",
            f"{row['peak_memory_mib']:.0f}",
        )
    return table


def _packing(doc: Document) -> Table:
    table = Table(title="Processes at once, each with an update", title_justify="left")
    table.add_column("case")
    table.add_column("processes", justify="right")
    table.add_column("threads each", justify="right")
    table.add_column("median (min-max)", justify="right")
    table.add_column("rate of all", justify="right")
    table.add_column("to one", justify="right")
    table.add_column("memory, MiB", justify="right")
    for row in doc["packing"]:
        table.add_row(
            row["part"],
            str(row["processes"]),
            str(row["threads"]),
            _span(row),
            f"{row['rate']:.4g} {row['unit']}/s",
            f"{row['gain']:.2f}",
            f"{row['peak_memory_mib']:.0f}",
        )
    return table


def _agent(doc: Document) -> Table:
    rows = doc["agent"]
    compared = all(row["released_hours"] is not None for row in rows)
    title = f"Hours of an agent of Atari 100k at these speeds, preset {doc['config']['preset']}"
    table = Table(title=title, title_justify="left")
    table.add_column("part")
    table.add_column("number", justify="right")
    table.add_column("ours", justify="right")
    if compared:
        table.add_column("released", justify="right")
    for row in rows:
        hours = [row["hours"], *([row["released_hours"]] if compared else [])]
        table.add_row(row["part"], f"{row['count']:,} {row['unit']}", *(f"{h:.3g}" for h in hours))
    sums = [sum(row["hours"] for row in rows)]
    if compared:
        sums.append(sum(row["released_hours"] for row in rows))
    table.add_row("all", "", *(f"{total:.3g}" for total in sums))
    return table


def _span(timing: Document | None) -> str:
    if timing is None:
        return ABSENT
    return f"{timing['median']:.3g} ({timing['min']:.3g}-{timing['max']:.3g})"


def _number(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)
