"""wafleet's actors: one WhatsApp session each, a supervisor above them, and the pure core they run on."""
