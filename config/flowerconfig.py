"""The file that Flower executes at start (`--conf`): every name that is one of Flower's options sets it."""

from config.flower_options import flower_options, prepare_process
from config.settings import Settings, SettingsError

try:
    settings = Settings.load()
    globals().update(flower_options(settings))
    prepare_process(settings)
except SettingsError as error:
    raise SystemExit(f"Error: {error}") from None
