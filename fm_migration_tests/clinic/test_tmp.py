import sys,time,logging
from pathlib import Path
import fm_migration_tests.clinic.linking as L
from fm_migration.embedded.sample.plan import design_clinic
from sqlalchemy import event
def test_x(world):
    @event.listens_for(world.engine,"before_cursor_execute")
    def b(conn,cur,st,p,ctx,many): ctx._t=time.time()
    @event.listens_for(world.engine,"after_cursor_execute")
    def a(conn,cur,st,p,ctx,many):
        d=time.time()-ctx._t
        if d>0.15: print(f"{d:.2f}s", " ".join(st.split())[:150])
    L.furnish(world,design_clinic(1.0,variant="fresh"))
    world.read_patients()
    t=time.time(); p=world.plan(); print("PLAN",time.time()-t)
    t=time.time(); world.apply(p); print("APPLY",time.time()-t)
    t=time.time(); world.relink(); print("RELINK",time.time()-t)
    t=time.time(); p2=world.plan(); print("PLAN2",time.time()-t,p2.changes)
    world.reimport()
    world.read_patients()
    t=time.time(); p2=world.plan(); print("PLAN3",time.time()-t,p2.changes)
    t=time.time(); world.apply(p2); print("APPLY",time.time()-t)
    t=time.time(); world.undo(p2); print("UNDO",time.time()-t)
    t=time.time(); world.undo(p); print("UNDO",time.time()-t)
