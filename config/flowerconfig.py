"""What Flower runs when it starts (`--conf`): each name that is one of its options is set."""

from config.flower import flower_options, list_all_queues
from config.settings import Settings

globals().update(flower_options(Settings.load()))
list_all_queues()
