"""A photograph of yours: a file, an upload on Colab, or the camera of your laptop."""

import base64
import importlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from core.command import CourseError
from helpers.data.images import load_image, to_model_input, to_rgb
from helpers.lessons.photographs import draw_photos, photos
from helpers.models.detector import LoadedDetector, load_detector, predict
from helpers.notebook import ROOT, is_colab
from helpers.show.draw import class_colour, draw_boxes
from helpers.training.run_folder import checkpoint_path

# Where a detector of photographs may lie: what helpers.photo_weights writes, or runs.
PHOTO_WEIGHTS = "build/photo_weights/photo_weights-*.pth"
PHOTO_RUNS = ("runs/voc2007", "runs/voc2007_cpu", "runs/notebook_voc2007")
LEAST_SCORE = 0.4  # of what is drawn
MIN_SIDE_PX = 448  # of the photograph as it is drawn
CAMERA_WARMS_UP = 5  # pictures, until it has found its brightness
# What a browser runs on Colab, where the camera is not at the machine that computes.
IN_THE_BROWSER = """
(async () => {
  const video = document.createElement('video');
  const stream = await navigator.mediaDevices.getUserMedia({video: true});
  video.srcObject = stream;
  await video.play();
  await new Promise((done) => setTimeout(done, 1000));
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext('2d').drawImage(video, 0, 0);
  stream.getTracks().forEach((track) => track.stop());
  return canvas.toDataURL('image/jpeg', 0.9);
})()
"""


def my_photo(path: str | Path | None = None, camera: bool = False) -> Image.Image:
    """A photograph: your file, your camera's picture, or else one of the course.

    Args:
        path: of a file; on Colab without one you are asked for an upload.
        camera: take a picture with the camera that is there.

    Raises:
        CourseError: there is no such file or camera, or what it gives is no picture.
    """
    if path is not None:
        return load_image(Path(path).expanduser())
    if camera:
        return _from_browser() if is_colab() else _from_camera()
    if is_colab():
        return _uploaded()
    print(
        'A photograph of the course; yours: my_photo("cat.jpg"), or '
        "my_photo(camera=True)."
    )
    return photos()[0].open()


def _uploaded() -> Image.Image:
    files = importlib.import_module("google.colab.files").upload()
    if not files:
        print("Nothing was uploaded; you see a photograph of the course.")
        return photos()[0].open()
    name, content = next(iter(files.items()))
    return _opened(content, name)


def _opened(content: bytes, name: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return to_rgb(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise CourseError(f"{name} is not an image in a known format") from error


def _from_browser() -> Image.Image:
    run = importlib.import_module("google.colab.output").eval_js
    try:
        address = run(IN_THE_BROWSER)
    except Exception as error:  # Colab documents none
        raise CourseError(
            f"the browser gives no picture ({error}); allow it the camera, or give "
            "a path"
        ) from error
    return _opened(base64.b64decode(address.partition(",")[2]), "the camera's picture")


def _from_camera() -> Image.Image:
    """A picture of the first camera, by OpenCV, if both are here."""
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        raise CourseError(
            "a camera is read by OpenCV, which is not installed; run pip install "
            "opencv-python-headless, or give the path of a photograph"
        ) from error
    camera = cv2.VideoCapture(0)
    try:
        pictures = [camera.read() for _ in range(CAMERA_WARMS_UP)]
    finally:
        camera.release()
    is_read, picture = pictures[-1]
    if not is_read:
        raise CourseError("no camera answers here; give the path of a photograph")
    return Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))  # it has BGR


def draw_seen(photo: Image.Image, detector: LoadedDetector | None) -> object:
    """The photograph with what a detector sees in it.

    Args:
        detector: None shows photographs of the course with what was stored of them.
    """
    if detector is None:
        return draw_photos(LEAST_SCORE)
    tensor, scale = to_model_input(photo, detector.config.image_size)
    overlap = detector.config.nms_threshold
    ((boxes, classes, scores),) = predict(detector, [tensor], LEAST_SCORE, overlap)
    return draw_boxes(
        photo,
        boxes / scale,
        [detector.class_names[number] for number in classes.tolist()],
        [class_colour(number) for number in classes.tolist()],
        scores,
        min_side=MIN_SIDE_PX,
    )


def find_photo_detector() -> LoadedDetector | None:
    """A detector of photographs that you made or fetched, or None with a word."""
    files = sorted(ROOT.glob(PHOTO_WEIGHTS))
    runs = [ROOT / name for name in PHOTO_RUNS]
    for place in [*files, *(run for run in runs if checkpoint_path(run).is_file())]:
        name = place.relative_to(ROOT).as_posix()
        try:
            found = load_detector(place)
        except (CourseError, NotImplementedError) as error:
            print(f"{name} cannot be used ({error}).")
            continue
        print(f"The detector in {name} looks at the photograph.")
        return found
    print(
        "No detector of photographs is here; you see what a stored one found. For one "
        "of yours: python -m helpers.photo_weights --help"
    )
    return None
