"""The fields of the pages' forms. Every form that changes or shows something has the `token` of its session."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from facemargin.serving.face_routes import OnSeveral


class PageForm(BaseModel):
    """What every form has."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=64)


class CompareForm(PageForm):
    image_a: bytes = b""
    image_b: bytes = b""
    fmr: float | None = None
    on_several: OnSeveral = "largest"


class SearchForm(PageForm):
    images: list[bytes] = []
    pool: Literal["yes", "no"] = "no"
    gate: Literal["off", "refuse"] = "off"
    on_several: OnSeveral = "largest"


class EnrolForm(PageForm):
    person: str = ""
    images: list[bytes] = []
    gate: Literal["off", "warn", "refuse", "review"] | None = None
    on_several: OnSeveral = "error"
    consent: str = ""


class ReviewForm(PageForm):
    accept: list[int] = []
    reject: list[int] = []


class PersonForm(PageForm):
    action: Literal["remove", "remove images", "merge", "split"]
    person: str
    numbers: list[int] = []
    other: str = ""


class LoginForm(PageForm):
    key: str = Field("", max_length=500)
