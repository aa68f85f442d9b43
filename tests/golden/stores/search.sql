PRAGMA application_id = 1920167540;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE candidate (
    subnet TEXT PRIMARY KEY,
    iteration INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    stopped INTEGER NOT NULL,
    costs TEXT NOT NULL
);
INSERT INTO "candidate" VALUES('{"full":{"classes":3,"image_size":16,"patch_size":2,"stages":[{"blocks":[{"head_dim":4,"heads":1,"hidden":8},{"head_dim":4,"heads":1,"hidden":16}],"width":8},{"blocks":[{"head_dim":6,"heads":2,"hidden":12},{"head_dim":6,"heads":1,"hidden":12}],"width":10},{"blocks":[{"head_dim":8,"heads":1,"hidden":16},{"head_dim":8,"heads":2,"hidden":32}],"width":14}],"stem_mid_width":4},"kept":[[true,true],[true,true],[true,false]]}',0,30,100,0,'[0.25, 2.0]');
INSERT INTO "candidate" VALUES('{"full":{"classes":3,"image_size":16,"patch_size":2,"stages":[{"blocks":[{"head_dim":4,"heads":2,"hidden":8},{"head_dim":4,"heads":1,"hidden":8}],"width":8},{"blocks":[{"head_dim":6,"heads":2,"hidden":24},{"head_dim":6,"heads":2,"hidden":24}],"width":12},{"blocks":[{"head_dim":8,"heads":2,"hidden":16},{"head_dim":8,"heads":1,"hidden":32}],"width":14}],"stem_mid_width":4},"kept":[[true,true],[true,true],[true,true]]}',1,31,100,1,'[1.25, 2.0]');
CREATE TABLE search (identity TEXT NOT NULL);
INSERT INTO "search" VALUES('{"costs": ["MACs", "parameters"], "data": ["stripes", 1000], "early_stopping": true, "evolution": {"crossed": 10, "first": 30, "iterations": 4, "mutated": 10, "parents": 8, "pareto": false, "probability": 0.3}, "limits": ["MACs of at most 0.0005 G"], "measured": "[{\"machine\": \"machine\", \"runner\": \"ort-cpu\", \"version\": \"onnxruntime 1\", \"device\": \"cpu\", \"precision\": \"fp32\", \"batch\": 1, \"threads\": 2}, [0.5, 1.0], 2.0]", "seed": 0, "space": "little", "supernet": "digest"}');
COMMIT;
