"""The adapter between a session and WhatsApp Web: the only package that imports playwright."""
