from small_audit import make_audit

__all__ = ["make_audit"]
