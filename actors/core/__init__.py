"""Pure decisions: no asyncio, no clock, no randomness of their own, no logging. Time and randomness are arguments."""
