"""The latents of the training videos: their frame means on the leading principal components.

The features are passed over once, in blocks. What grows with the number of videos in memory are the latents alone:
the frame means go to a scratch file where they are large.
"""

from pathlib import Path

from tqdm import tqdm

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.clustering import frame_means, project
from artefacts.store import finite
from dataset.features import frame_layout
from utils.config.keys import AT_LEAST_1, Key
from utils.files.writing import scratch_array


class Latents(Artefact):
    """(N, P) float32, P at most latent_dim_pca; one pass over the features, in bounded memory."""

    name = "latents"
    path_key = "latent_feat_path"
    KEYS = (
        Key("latent_dim_pca", "int", 512, "width of the PCA latents", AT_LEAST_1),
        Key("latent_feat_path", "path", None, "PCA latents; None, here and for other artefacts: a file in "
            "artefact_root", file="final_train_latent_feats.h5", free=True),
    )
    shaped_by = ("latent_dim_pca",)

    def arrays(self, config, split) -> dict[str, Array]:
        return {"feats": Array((len(split), _num_dims(config, split)), finite)}

    def make(self, making: Making) -> Made:
        config, split = making.config, making.split
        num_dims, num_features = _num_dims(config, split), frame_layout(split.shape)[1]
        if num_dims < config.latent_dim_pca:
            making.log(f"latent_dim_pca = {config.latent_dim_pca} is more than {len(split)} videos of {num_features} "
                       f"features have; {num_dims} are used.")
        with scratch_array((len(split), num_features), Path(self.path(config)).parent) as means:
            with tqdm(total=len(split), desc="frame means", disable=None, leave=False) as bar:
                frame_means(split, bar.update, means)
            return Made({"feats": project(means, num_dims)})


LATENTS = Latents()


def _num_dims(config, split) -> int:
    return min(config.latent_dim_pca, len(split), frame_layout(split.shape)[1])
