"""Template rendering inside of the test's process, where no limit of time or memory applies."""

from collections.abc import Mapping

from worker.templating import engine
from worker.templating.renderer_process import Rendered, TemplateRenderer


class InProcessRenderer(TemplateRenderer):
    """Runs the template engine without a child process."""

    def check(self, source: str) -> None:
        engine.compile_template(source)

    def render(self, source: str, variables: Mapping[str, object]) -> Rendered:
        return engine.render(source, variables)
