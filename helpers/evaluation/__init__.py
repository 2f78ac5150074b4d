"""How good detections are: VOC's AP, COCO's AP, shifts of boxes."""
