"""Spares the tests most of the time that a Runner takes to start."""

from mmengine.config import Config


def format_once(monkeypatch):
    """A Runner formats its config five times over, a second each: format equal ones once."""
    formatted, texts = Config.pretty_text.fget, {}

    def pretty_text(self):
        key = repr(self._cfg_dict)
        if key not in texts:
            texts[key] = formatted(self)
        return texts[key]

    monkeypatch.setattr(Config, 'pretty_text', property(pretty_text))
