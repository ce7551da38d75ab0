"""The differences of systems as a table for the terminal."""

from facemargin.evaluation.number_format import NOT_AVAILABLE, p_text, points_text
from facemargin.evaluation.system_differences import SystemDifference, SystemDifferences
from facemargin.tables import Table

HEADINGS = ("Difference", "p", "p (Holm)", "Std. error", "Impostor pairs (people)")


def differences_table(differences: SystemDifferences) -> Table:
    """One row per system and FAR."""
    table = Table("TAR of", "At FAR", *HEADINGS)
    for column in table.columns[1:]:
        column.justify = "right"
    table.caption = " ".join(differences.notes) or None
    for row in differences.rows:
        table.add_row(f"{row.first} − {row.second}", f"{row.point.target_far:g}", *difference_cells(row))
    return table


def difference_cells(row: SystemDifference) -> list[str]:
    """The texts below `HEADINGS`."""
    point = row.point
    spread = "" if point.interval is None else f"\n{points_text(point.interval[0])} to {points_text(point.interval[1])}"
    unbiased = f"{100 * point.unbiased_variance**0.5:.2f}" if point.unbiased_variance > 0 else NOT_AVAILABLE
    behind = [
        f"{one.impostors_accepted:,} ({people:,})"
        for one, people in zip((point.first, point.second), point.people, strict=True)
    ]
    return [
        f"{points_text(point.difference)}{spread}",
        p_text(point.p_value),
        p_text(row.adjusted_p),
        f"{100 * point.variance**0.5:.2f} ({unbiased})",
        "\n".join(behind),
    ]
