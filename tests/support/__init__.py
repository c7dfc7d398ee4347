"""What tests share: builders of events, fakes, running installations, and checks."""
