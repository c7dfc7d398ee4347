"""What Flower runs when it starts (`--conf`): each name that is one of its options is set."""

from config.flower import flower_options, keep_to_ourselves, list_all_queues, log_as_we_do
from config.settings import Settings

settings = Settings.load()
globals().update(flower_options(settings))
log_as_we_do(settings)
keep_to_ourselves()
list_all_queues()
