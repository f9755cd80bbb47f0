"""Label Studio, both ways: tasks with brush masks out, its JSON export back."""

from curate.people.exchange.label_studio.read import READER
from curate.people.exchange.label_studio.write import WRITER
from curate.people.exchange.registry import ExchangeTool

TOOL = ExchangeTool("label-studio", WRITER, READER)
