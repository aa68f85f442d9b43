PRAGMA application_id = 1920167539;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE network (
    setting INTEGER NOT NULL REFERENCES setting (id),
    space TEXT NOT NULL,
    purpose TEXT NOT NULL,
    opening INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    arch TEXT NOT NULL,
    samples_s TEXT NOT NULL,
    anchor_s TEXT NOT NULL,
    PRIMARY KEY (setting, space, purpose, opening, fingerprint)
);
INSERT INTO "network" VALUES(1,'mini','profile',0,'a6eaf7dc9b81d182','{"stages": [{"width": 16, "blocks": [{"heads": 1, "head_dim": 4, "hidden": 16}, {"heads": 1, "head_dim": 4, "hidden": 24}, {"heads": 2, "head_dim": 4, "hidden": 24}, {"heads": 2, "head_dim": 4, "hidden": 24}]}, {"width": 16, "blocks": [{"heads": 1, "head_dim": 8, "hidden": 32}, {"heads": 1, "head_dim": 8, "hidden": 48}, {"heads": 1, "head_dim": 8, "hidden": 16}, {"heads": 2, "head_dim": 8, "hidden": 32}]}, {"width": 32, "blocks": [{"heads": 3, "head_dim": 8, "hidden": 48}, {"heads": 3, "head_dim": 8, "hidden": 64}, {"heads": 2, "head_dim": 8, "hidden": 48}]}], "classes": 10, "image_size": 112, "patch_size": 14, "stem_mid_width": 24}','[0.003, 0.003, 0.003, 0.003, 0.003, 0.003]','[0.002, 0.002, 0.002, 0.002, 0.002, 0.002]');
INSERT INTO "network" VALUES(1,'mini','profile',0,'b4184e81b076ebc6','{"stages": [{"width": 12, "blocks": [{"heads": 2, "head_dim": 4, "hidden": 16}, {"heads": 1, "head_dim": 4, "hidden": 16}, {"heads": 1, "head_dim": 4, "hidden": 8}]}, {"width": 24, "blocks": [{"heads": 1, "head_dim": 8, "hidden": 32}, {"heads": 2, "head_dim": 8, "hidden": 48}, {"heads": 2, "head_dim": 8, "hidden": 32}, {"heads": 1, "head_dim": 8, "hidden": 16}]}, {"width": 32, "blocks": [{"heads": 1, "head_dim": 8, "hidden": 48}, {"heads": 2, "head_dim": 8, "hidden": 64}, {"heads": 1, "head_dim": 8, "hidden": 64}]}], "classes": 10, "image_size": 112, "patch_size": 14, "stem_mid_width": 24}','[0.005, 0.005, 0.005, 0.005, 0.005, 0.005]','[0.002, 0.002, 0.002, 0.002, 0.002, 0.002]');
INSERT INTO "network" VALUES(1,'mini','profile',0,'fea8c56c474dd766','{"stages": [{"width": 12, "blocks": [{"heads": 2, "head_dim": 4, "hidden": 24}, {"heads": 1, "head_dim": 4, "hidden": 8}, {"heads": 2, "head_dim": 4, "hidden": 24}]}, {"width": 20, "blocks": [{"heads": 2, "head_dim": 8, "hidden": 32}, {"heads": 2, "head_dim": 8, "hidden": 16}, {"heads": 2, "head_dim": 8, "hidden": 16}, {"heads": 2, "head_dim": 8, "hidden": 32}]}, {"width": 28, "blocks": [{"heads": 3, "head_dim": 8, "hidden": 48}, {"heads": 2, "head_dim": 8, "hidden": 48}, {"heads": 1, "head_dim": 8, "hidden": 32}]}], "classes": 10, "image_size": 112, "patch_size": 14, "stem_mid_width": 24}','[0.007, 0.007, 0.007, 0.007, 0.007, 0.007]','[0.002, 0.002, 0.002, 0.002, 0.002, 0.002]');
INSERT INTO "network" VALUES(1,'mini','check',1,'a6eaf7dc9b81d182','{"stages": [{"width": 16, "blocks": [{"heads": 1, "head_dim": 4, "hidden": 16}, {"heads": 1, "head_dim": 4, "hidden": 24}, {"heads": 2, "head_dim": 4, "hidden": 24}, {"heads": 2, "head_dim": 4, "hidden": 24}]}, {"width": 16, "blocks": [{"heads": 1, "head_dim": 8, "hidden": 32}, {"heads": 1, "head_dim": 8, "hidden": 48}, {"heads": 1, "head_dim": 8, "hidden": 16}, {"heads": 2, "head_dim": 8, "hidden": 32}]}, {"width": 32, "blocks": [{"heads": 3, "head_dim": 8, "hidden": 48}, {"heads": 3, "head_dim": 8, "hidden": 64}, {"heads": 2, "head_dim": 8, "hidden": 48}]}], "classes": 10, "image_size": 112, "patch_size": 14, "stem_mid_width": 24}','[0.009000000000000001, 0.009000000000000001, 0.009000000000000001, 0.009000000000000001, 0.009000000000000001, 0.009000000000000001]','[0.002, 0.002, 0.002, 0.002, 0.002, 0.002]');
CREATE TABLE setting (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
INSERT INTO "setting" VALUES(1,'{"batch": 1, "device": "cpu", "machine": "machine", "precision": "fp32", "runner": "ort-cpu", "threads": 2, "version": "onnxruntime 1"}');
COMMIT;
