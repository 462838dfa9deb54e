# Artefacts of 512 principal components, under names of their own beside those of another width.
latent_dim_pca = 512
train_assist_path = f'{artefact_root}final_train_train_assit_pca512.h5'
latent_feat_path = f'{artefact_root}final_train_latent_feats_pca512.h5'
anchor_path = f'{artefact_root}final_train_anchors_pca512.h5'
semantic_center_path = f'{artefact_root}semantic_pca512.h5'
hash_center_path = f'{artefact_root}hash_center_{nbits}_pca512.h5'
structure_path = f'{artefact_root}structure_pca512.h5'
