from tests.support.simulator import phone, simulator

__all__ = ["phone", "simulator"]
