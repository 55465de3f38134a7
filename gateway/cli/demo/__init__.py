"""``wafleet demo``: a scripted tour of the whole product on real parts, with the simulator in the place of WhatsApp."""
