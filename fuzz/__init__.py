"""Damaged and forged model files, by the thousand: `make fuzz`. None may crash, hang or deceive."""
