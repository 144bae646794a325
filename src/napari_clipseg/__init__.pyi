from .engine.engine import Engine as Engine
from .engine.errors import CheckpointError as CheckpointError, DeviceWarning as DeviceWarning, DownloadCancelledError as DownloadCancelledError, LicenseNotAcceptedError as LicenseNotAcceptedError, NotDownloadedError as NotDownloadedError
from .engine.hub.downloads import DownloadProgress as DownloadProgress, download as download
from .engine.loading import load as load
from .engine.prompts import Average as Average, Blend as Blend
from .images.edges.refine import refine_edges as refine_edges
from .images.io.source import Source as Source, as_source as as_source
from .images.labels.instances import InstanceOptions as InstanceOptions
from .images.rendering import Appearance as Appearance
from .images.tiling.plan import Detail as Detail, Plan as Plan
from .images.visual_prompts import Example as Example, visual_prompt as visual_prompt
from .recipe import Recipe as Recipe
from .results import Segmentation as Segmentation
from .segmentation import Progress as Progress, plan as plan, preview as preview, segment as segment, segment_steps as segment_steps
from .uncertainty import shift_disagreement as shift_disagreement

__version__: str
