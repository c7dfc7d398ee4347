"""What the labels of a monitoring alert mean: how bad it is, which thing and which project it is about.

Which labels these are differs from house to house; `ALERT_LABELS` names a file that says so.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

Level = Literal["info", "warning", "error", "critical"]
WORDS: Mapping[str, Level] = {
    **dict.fromkeys(("critical", "crit", "page", "fatal", "emergency", "disaster", "p1", "sev1"), "critical"),
    **dict.fromkeys(("error", "err", "high", "major", "p2", "sev2"), "error"),
    **dict.fromkeys(("warning", "warn", "average", "medium", "minor", "ticket", "p3", "sev3"), "warning"),
    **dict.fromkeys(("info", "information", "informational", "notice", "low", "none", "ok"), "info"),
    **dict.fromkeys(("debug", "p4", "p5", "sev4", "sev5"), "info"),
}  # fmt: skip
"""What the usual words for a severity stand for; any other is shown as written and ranks as a warning."""

ENTITY_ID = ("entity_id", "resource_id", "workflow_id")


def _several(value: object) -> object:
    """One name may stand without a list."""
    return (value,) if isinstance(value, str) else value


def _lower(value: object) -> object:
    return (
        {str(word).strip().lower(): level for word, level in value.items()}
        if isinstance(value, dict)
        else value
    )


Names = Annotated[tuple[str, ...], BeforeValidator(_several)]


class Labelled(BaseModel):
    """Per meaning the labels to look at, the first that has a value counts; and the words of a severity.

    `severities` are added to the usual ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Names = ("severity", "priority", "level")
    severities: Annotated[dict[str, Level], BeforeValidator(_lower)] = {}
    entity_id: Names = ENTITY_ID
    entity_type: Names = ("entity_type",)
    entity_name: Names = ("entity_name", "resource_name", "workflow_name")
    project: Names = ("project",)

    @classmethod
    def of(cls, text: str) -> Self:
        """From a file's text, YAML or JSON; ValueError says in one line what is wrong with which part."""
        import yaml  # where no such file is named, no command waits for it

        try:
            return cls.model_validate(yaml.safe_load(text) or {})
        except yaml.YAMLError as error:
            raise ValueError(f"it is no YAML: {str(error).splitlines()[0]}") from None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, fault["loc"])) or "it"
            known = f"; known are {', '.join(cls.model_fields)}" if fault["type"] == "extra_forbidden" else ""
            raise ValueError(f"{place}: {fault['msg']}{known}") from None

    def severity_of(self, labels: Mapping[str, str]) -> str:
        """`critical`, `error`, `warning` or `info`, else the word as it is written; nothing without one."""
        written = _first(labels, self.severity).strip()
        word = written.lower()
        return self.severities.get(word) or WORDS.get(word) or written

    def entity_of(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Type, id and name of the thing it is about; nothing when no label has an id.

        Without a label for the type it is what the id's label says: `resource_id` is a resource's.
        """
        source = next((name for name in self.entity_id if labels.get(name)), None)
        if source is None:
            return {}
        implied = (
            source.removesuffix("_id") if source.endswith("_id") and source != ENTITY_ID[0] else "resource"
        )
        kind = _first(labels, self.entity_type) or implied
        return {"type": kind, "id": labels[source], "name": _first(labels, self.entity_name)}

    def project_of(self, labels: Mapping[str, str]) -> str:
        """The project, if a label says it."""
        return _first(labels, self.project)


def _first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
