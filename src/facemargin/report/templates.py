"""The templates of the pages: what is put into them is escaped, and what is missing is an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_templates() -> Environment:
    """The environment of the report's templates."""
    return Environment(
        loader=PackageLoader("facemargin", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
