NASTY = '<script>document.title="@MARK@"</script>'
FORMULA = '=HYPERLINK("http://localhost/@MARK@")'
LONG = 20_000_000


def fcos_box_loss(pred_boxreg_deltas, gt_deltas):
    """Script tags, formulas and control characters, wherever text goes."""
    print(NASTY, FORMULA, "\033[2J\a\0‮", "</pre></table>", "+1-1@x", sep="\n")
    raise type(NASTY, (ValueError,), {})(NASTY + FORMULA + "{{ 7 * 7 }}")


def fcos_centerness_loss(pred_ctr_logits, gt_centerness):
    """An exception with 20 MB of text."""
    raise RuntimeError("too long " * (LONG // 9))
