# MCMSH, as all its datasets share it: the settings of its program.
_base_ = 'neighbor_pairs.py'

method = 'mcmsh'
latent_dim_pca = 256  # of the frame means whose anchors draw the latents
latent_feat_path = f'{artefact_root}final_train_latent_feats_pca{latent_dim_pca}.h5'
