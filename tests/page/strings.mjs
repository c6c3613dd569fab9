// What would run, or look like something else, on a page that takes data for markup. `pwned` is watched.

export const STRINGS = [
  "<img src=x onerror=pwned()>",
  "<script>pwned()</script>",
  "<svg onload=pwned()>",
  "<svg><script>pwned()</script></svg>",
  "\"><script>pwned()</script>",
  "'><img src=x onerror=pwned()>",
  "\" onmouseover=\"pwned()",
  "' autofocus onfocus='pwned()",
  "<iframe src=\"javascript:parent.pwned()\"></iframe>",
  "<a href=\"javascript:pwned()\">here</a>",
  "javascript:pwned()",
  "<body onload=pwned()>",
  "<details open ontoggle=pwned()>",
  "<video><source onerror=pwned()></video>",
  "<math><mi xlink:href=\"javascript:pwned()\">x</mi></math>",
  "<style>@import'javascript:pwned()';</style>",
  "</title><script>pwned()</script>",
  "<!--<img src=\"--><img src=x onerror=pwned()//\">",
  "{{constructor.constructor('pwned()')()}}${pwned()}",
  "&lt;img src=x onerror=pwned()&gt;\u202Etxt.exe",
];
