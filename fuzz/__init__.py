"""Test loading with thousands of damaged and forged model files (`make fuzz`)."""
