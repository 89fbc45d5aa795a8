"""x"""
def write_page(done,place,quick):
    from .claims import claims, controls
    import json,dataclasses
    c=claims(done)+controls(done)
    for x in c: print(json.dumps(dataclasses.asdict(x),indent=1))
    return c
