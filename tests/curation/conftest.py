from small_audit import make_audit, masks

__all__ = ["make_audit", "masks"]
