// What the page says, in English and Chinese. `{name}` is filled in; a pair in `|` is one and many.

const WORDS = {
  skip: ["Skip to the content", "跳到正文"],
  nav: ["Main", "主导航"],
  documents: ["Documents", "文档"],
  farm: ["Farm", "农场"],
  flower: ["Flower", "Flower"],
  theme: ["Light or dark", "浅色或深色"],
  asking: ["Asking the farm …", "正在询问农场…"],
  "farm-idle": ["{n} process · idle|{n} processes · idle", "{n} 个进程 · 空闲"],
  "farm-busy": ["{n} process · {pages} under way|{n} processes · {pages} under way", "{n} 个进程 · 正在处理 {pages} 页"],
  "farm-empty": ["No worker is alive; documents wait", "没有工作进程，文档正在等待"],
  away: ["The farm does not answer. Is it still running?", "农场没有回应，它还在运行吗？"],
  answered: ["The farm answered {status}.", "农场返回了 {status}。"],
  "key-ask": ["This farm asks for an API key. It stays in this tab, unless you say otherwise.", "此农场需要 API 密钥。除非另行选择，它只保存在此标签页中。"],
  "key-refused": ["This API key does not hold (any more). Give another one.", "此 API 密钥无效或已失效，请换一个。"],
  "use-key": ["Use it", "使用"],
  "keep-key": ["Remember it on this device", "在此设备上记住"],
  forget: ["Forget the key", "忘记密钥"],

  drop: ["Drop documents or folders here", "将文档或文件夹拖到此处"],
  paste: ["You can paste pictures, too.", "也可以粘贴图片。"],
  choose: ["Choose files", "选择文件"],
  "choose-folder": ["Choose a folder", "选择文件夹"],
  profile: ["Profile", "方案"],
  layout: ["Layout", "版面"],
  "layout-auto": ["automatic", "自动"],
  "layout-page": ["a page", "整页"],
  "layout-line": ["one line", "单行"],
  empty: ["No documents yet", "还没有文档"],
  "empty-more": ["What you send stands here, with its text, until it expires.", "发送的文档及其文字会列在这里，直到过期。"],
  more: ["Show older ones", "显示更早的"],
  overall: ["All documents", "所有文档"],
  "overall-text": ["{done} of {all} documents done", "已完成 {done} / {all} 份文档"],
  "overall-failed": ["{n} failed", "{n} 份失败"],
  "left-out": ["{n} file is no document, and was left out.|{n} files are no documents, and were left out.", "有 {n} 个文件不是文档，已跳过。"],
  taken: ["{n} document taken|{n} documents taken", "已接收 {n} 份文档"],
  unsent: ["Documents that were not sent yet would be lost.", "尚未发送的文档将会丢失。"],

  waiting: ["waiting", "等待发送"],
  sending: ["sending", "发送中"],
  paused: ["the farm is busy; goes on in {n} s", "农场繁忙，{n} 秒后继续"],
  queued: ["queued", "排队中"],
  running: ["reading", "识别中"],
  succeeded: ["done", "完成"],
  partial: ["partly done", "部分完成"],
  failed: ["failed", "失败"],
  cancelled: ["cancelled", "已取消"],
  cached: ["from the cache", "来自缓存"],
  ahead: ["{n} ahead", "前面还有 {n} 个"],
  pages: ["{n} page|{n} pages", "{n} 页"],
  "pages-of": ["{done} of {all} pages", "{done} / {all} 页"],
  again: ["Read again", "重新识别"],
  "send-again": ["Send again", "重新发送"],
  cancel: ["Cancel", "取消"],
  delete: ["Delete", "删除"],
  "about-doc": ["{act}: {name}", "{act}：{name}"],
  nameless: ["unnamed document", "未命名文档"],
  "is-done": ["{name}: {state}", "{name}：{state}"],
  deleted: ["{name} was deleted", "已删除 {name}"],

  back: ["All documents", "所有文档"],
  page: ["Page", "页"],
  "page-of": ["of {n}", "/ {n}"],
  previous: ["Previous page", "上一页"],
  next: ["Next page", "下一页"],
  "zoom-in": ["Larger", "放大"],
  "zoom-out": ["Smaller", "缩小"],
  fit: ["Fit", "适合宽度"],
  search: ["Search in the text", "在文字中搜索"],
  found: ["{n} of {all}", "第 {n} / {all} 处"],
  "found-none": ["not found", "未找到"],
  "next-match": ["Next match", "下一处"],
  "previous-match": ["Previous match", "上一处"],
  threshold: ["Mark lines below", "标记低于此值的行"],
  doubtful: ["{n} line marked|{n} lines marked", "标记了 {n} 行"],
  "next-doubtful": ["Next marked line", "下一个标记行"],
  download: ["Download", "下载"],
  "copy-page": ["Copy page", "复制本页"],
  "copy-all": ["Copy all", "复制全部"],
  copied: ["Copied", "已复制"],
  "not-copied": ["The browser does not allow it", "浏览器不允许"],
  "revert": ["Undo all edits", "撤销所有修改"],
  edited: ["{n} line edited, kept in this browser|{n} lines edited, kept in this browser", "修改了 {n} 行，保存在此浏览器中"],
  making: ["{form} is being made …", "正在生成 {form}…"],
  saved: ["{form} was saved", "已保存 {form}"],
  picture: ["Picture of the page", "页面图像"],
  text: ["Text of the page", "页面文字"],
  "line-label": ["Line {n}, {sure} percent sure", "第 {n} 行，置信度 {sure}%"],
  sure: ["Confidence {n}", "置信度 {n}"],
  certain: ["certain {n}", "确定度 {n}"],
  "read-by": ["read by {model}", "由 {model} 识别"],
  nothing: ["Nothing is written here.", "此页没有文字。"],
  "page-failed": ["This page could not be read: {why}", "此页无法识别：{why}"],
  "not-here": ["This document is not here: it was deleted, it has expired, or it was sent with another key.", "没有这份文档：它已被删除、已过期，或是用另一个密钥发送的。"],
  "not-yet": ["This page is not read yet.", "此页尚未识别。"],
  "no-picture": ["The picture is not there; the text stands where it was found.", "没有图像，文字显示在其原来的位置。"],
  loading: ["Loading …", "加载中…"],

  "farm-more": ["What is alive, what waits, and how fast it goes.", "哪些在运行、哪些在等待、速度如何。"],
  processes: ["Worker processes", "工作进程"],
  nodes: ["Nodes", "节点"],
  "in-queue": ["Pages waiting", "等待的页"],
  "being-read": ["Pages being read", "正在识别的页"],
  oldest: ["Longest wait", "最长等待"],
  rate: ["Pages a minute", "每分钟页数"],
  total: ["Pages read", "已识别页数"],
  "dead-letters": ["Failed for good", "彻底失败"],
  "plot-rate": ["Pages a minute, live", "每分钟页数（实时）"],
  "plot-queue": ["Pages waiting, live", "等待的页（实时）"],
  "plot-label": ["{what}: {now} now, {most} at the most in the last {minutes}", "{what}：当前 {now}，最近 {minutes}内最高 {most}"],
  minutes: ["{n} minute|{n} minutes", "{n} 分钟"],
  node: ["Node", "节点"],
  slots: ["Processes", "进程"],
  "node-draining": ["draining", "正在停用"],
  "node-drained": ["drained", "已停用"],
  "node-away": ["away", "离线"],
  version: ["Version", "版本"],
  profiles: ["Profiles", "方案"],
  machine: ["Machine", "机器"],
  cores: ["{n} core|{n} cores", "{n} 核"],
  speed: ["Speed of a process", "单进程速度"],
  "lines-a-second": ["{n} line/s|{n} lines/s", "{n} 行/秒"],
  "nobody-reads": ["{n} page of the profile {profile} waits: no node that is alive can read it.|{n} pages of the profile {profile} wait: no node that is alive can read them.", "方案 {profile} 有 {n} 页在等待：没有在线节点能识别它。"],
  "waits-for-node": ["no node that is alive can read this profile", "没有在线节点能识别此方案"],
  share: ["Share of the pages", "页数占比"],
  "no-nodes": ["No node is alive. Documents are taken and wait; `ocrfarm worker` starts one.", "没有在线节点。文档会被接收并等待；用 `ocrfarm worker` 启动一个。"],
  "links": ["More to see", "更多"],
  "link-flower": ["Flower: the workers, task by task", "Flower：逐个任务查看工作进程"],
  "link-docs": ["The HTTP interface", "HTTP 接口说明"],
  "link-metrics": ["Figures for Prometheus", "Prometheus 指标"],
};

// The farm's errors by their code: its own sentence in English, ours in Chinese.
const ERRORS = {
  bad_option: "某个选项无效。", unknown_profile: "没有这个方案。", missing_file: "没有收到文件。", too_large: "文件太大，超过了此农场的上限。",
  unsupported_type: "不支持这种文件。可以发送 PNG、JPEG、WebP、BMP、GIF、TIFF 或 PDF。", not_found: "没有这份文档，或其记录已过期。",
  already_ended: "此任务已经结束。", not_succeeded: "此任务没有成功，因此没有结果。", expired: "结果已过期，请重新发送文档。",
  unauthorized: "需要有效的 API 密钥。", forbidden: "此 API 密钥无权这样做。", over_quota: "超出配额，请稍后再试。", empty_file: "文件是空的。",
  unreadable: "文件已损坏，或者不是图像。", encrypted: "文件已加密，请先移除密码。", too_many_pages: "页数太多。", too_many_pixels: "图像像素太多。",
  no_such_page: "没有所要求的页。", decode_crashed: "打开此文件时出错，它可能已损坏。", decode_memory: "打开此文件需要太多内存。",
  decode_timeout: "打开此文件耗时太长。", farm_full: "农场已满，请稍后再试。", farm_unavailable: "农场暂时不可用，请稍后再试。",
  worker_lost: "识别此页的进程中断了，请重试。", timeout: "识别耗时太长。", out_of_memory: "识别此页需要太多内存。", deadline_exceeded: "超过了截止时间。",
  batch_full: "此批次已满，请开始另一个批次。", batch_closed: "此批次已关闭，不能再添加文档。", zip_bomb: "此压缩包解压后过大，未被接收。",
  cannot_join: "此农场目前不接受其他机器加入。", node_disk_full: "识别此页的机器磁盘已满，请告知农场管理员。",
  blob_missing: "上传的文件已不存在，请重新发送。", model_unavailable: "模型不可用，请告知农场管理员。", internal: "农场内部出错，详情见其日志。",
};

export const language = () => (document.documentElement.lang.startsWith("zh") ? 1 : 0);

export function t(key, values = {}) {
  const [one, many] = WORDS[key][language()].split("|");
  const text = many && values.n !== 1 ? many : one;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const plainly = (code, detail) => (language() && ERRORS[code]) || detail;

// Everything under `root` that says by attribute what it says.
export function translate(root = document) {
  for (const found of root.querySelectorAll("[data-t]")) found.textContent = t(found.dataset.t);
  for (const found of root.querySelectorAll("[data-t-label]")) found.setAttribute("aria-label", t(found.dataset.tLabel));
}

export const bytes = (n) => (n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} kB` : `${(n / 1e6).toFixed(1)} MB`);

export function when(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const locale = language() ? "zh-CN" : undefined;
  return today ? date.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" }) : date.toLocaleDateString(locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

export function span(seconds) {
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
