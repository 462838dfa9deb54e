def unavailable(): return "not yet"
def supports(u, A): return False
