import time
from fm_migration_tests.clinic.linking import *
def test_x(world):
    world.patient(ANNA); world.patient(BERT)
    for i in range(3):
        t=time.time(); world.photographs(Photograph("77",ANNA),Photograph("78",BERT), Photograph("79",ANNA)); print("stage",time.time()-t); 
        t=time.time(); world.read_patients(); print("pat",time.time()-t)
        t=time.time(); p=world.plan(); print("plan",time.time()-t, p)
        t=time.time(); a=world.apply(p); print("apply",time.time()-t, a)
        t=time.time(); a=world.relink(); print("relink",time.time()-t, a)
        print(world.galleries(), world.states(), world.wrong_counts())
        world.reimport()
        print(world.galleries())
    assert 0
