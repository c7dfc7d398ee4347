"""Foreign formats become an `Event` here, one file a format, validated with pydantic at this border."""
