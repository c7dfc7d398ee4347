"""Emoji by the short names Slack knows them by: the ones messages like ours use."""

import re

_KNOWN = """
white_check_mark ✅ heavy_check_mark ✔️ ballot_box_with_check ☑️ x ❌
negative_squared_cross_mark ❎ warning ⚠️ rotating_light 🚨 fire 🔥 boom 💥 zap ⚡ bell 🔔 no_bell 🔕
mega 📣 loudspeaker 📢 hourglass ⌛ hourglass_flowing_sand ⏳ arrows_counterclockwise 🔄 repeat 🔁
rocket 🚀 tada 🎉 sparkles ✨ eyes 👀 construction 🚧 hammer_and_wrench 🛠️ wrench 🔧 hammer 🔨 gear ⚙️
package 📦 wastebasket 🗑️ lock 🔒 unlock 🔓 key 🔑 closed_lock_with_key 🔐 link 🔗 mag 🔍 memo 📝
clipboard 📋 bar_chart 📊 chart_with_upwards_trend 📈 chart_with_downwards_trend 📉 calendar 📅
clock1 🕐 stopwatch ⏱️ alarm_clock ⏰ information_source ℹ️ question ❓ exclamation ❗
heavy_exclamation_mark ❗ bangbang ‼️ no_entry ⛔ no_entry_sign 🚫 octagonal_sign 🛑 red_circle 🔴
large_orange_circle 🟠 large_yellow_circle 🟡 large_green_circle 🟢 large_blue_circle 🔵
large_purple_circle 🟣 white_circle ⚪ black_circle ⚫ large_green_square 🟩 large_red_square 🟥
small_red_triangle 🔺 small_red_triangle_down 🔻 arrow_right ➡️ arrow_up ⬆️ arrow_down ⬇️
arrow_forward ▶️ double_vertical_bar ⏸️ black_square_for_stop ⏹️ fast_forward ⏩ thumbsup 👍 +1 👍
thumbsdown 👎 -1 👎 wave 👋 pray 🙏 raised_hands 🙌 clap 👏 muscle 💪 point_right 👉 heart ❤️
green_heart 💚 smile 😄 slightly_smiling_face 🙂 thinking_face 🤔 sweat_smile 😅 skull 💀 ghost 👻
robot_face 🤖 bug 🐛 snail 🐌 turtle 🐢 cook 🧑‍🍳 fried_egg 🍳 cooking 🍳 knife_fork_plate 🍽️ coffee ☕
computer 💻 desktop_computer 🖥️ floppy_disk 💾 cd 💿 file_cabinet 🗄️ card_index_dividers 🗂️
file_folder 📁 cloud ☁️ globe_with_meridians 🌐 satellite_antenna 📡 electric_plug 🔌 bulb 💡
seedling 🌱 leaves 🍃 recycle ♻️ label 🏷️ round_pushpin 📍 pushpin 📌 triangular_flag_on_post 🚩
checkered_flag 🏁 bust_in_silhouette 👤 busts_in_silhouette 👥 speech_balloon 💬 envelope ✉️ email 📧
ship 🚢 whale 🐳 dart 🎯 trophy 🏆 100 💯 zzz 💤 double_exclamation ‼️ heavy_minus_sign ➖
heavy_plus_sign ➕
"""
BY_NAME = dict(zip(_KNOWN.split()[::2], _KNOWN.split()[1::2], strict=True))


def drawn(text: str) -> str:
    """A text with its `:short_names:` drawn; names nobody knows stay."""
    return re.sub(r":([a-z0-9_+-]+):", lambda found: BY_NAME.get(found[1], found[0]), text)
