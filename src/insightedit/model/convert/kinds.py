"""The kinds of conversion; no torch until one is picked."""

from __future__ import annotations

KINDS = {
    "instruct-diffusion": "insightedit.model.convert.ldm:convert_instruct_diffusion",
    "instruct-pix2pix": "insightedit.model.convert.ldm:convert_instruct_pix2pix",
    "ip-adapter": "insightedit.model.convert.ip_adapter:convert_ip_adapter",
    "llava": "insightedit.model.convert.llava:convert_llava",
    "smartedit": "insightedit.model.convert.smartedit:convert_smartedit",
}
