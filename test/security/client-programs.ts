/** One program that asks over https, as an agent would. */
export interface ClientProgram {
  name: string;
  /** What has to be there for it: a program inside the sandbox. */
  needs: string;
  /** Whether a machine that runs the tests has it in any case; else it is told as missing and left out. */
  always: boolean;
  script: string;
  expected: RegExp;
}

/** `.ci/run` installs what these need. */
const inCi = process.env.CI === 'true';

export const clientHost = 'api.example.com';
const url = (path: string) => `https://${clientHost}/${path}`;
const through = (path: string) => new RegExp(`GET /${path} through`);

const javaSource = `class A { public static void main(String[] a) throws Exception {
  System.out.println(new String(new java.net.URL("${url('java')}").openStream().readAllBytes()));
  var answer = java.net.http.HttpClient.newHttpClient().send(
    java.net.http.HttpRequest.newBuilder(java.net.URI.create("${url('java-client')}")).build(),
    java.net.http.HttpResponse.BodyHandlers.ofString());
  System.out.println(answer.body());
} }`;

const node = (path: string) => ({
  https: `'require("https").get("${url(`${path}-https`)}", (r) => r.pipe(process.stdout))'`,
  fetch: `'fetch("${url(`${path}-fetch`)}").then((r) => r.text()).then(console.log)'`,
});

const gh = [
  'Accept: application/vnd.github+json',
  'User-Agent: GitHub CLI 2.23.0',
  'Authorization: token gho_own',
];

/** Each is run as it is found by its users, with the proxy variables and without any. */
export const clientPrograms: readonly ClientProgram[] = [
  { name: 'curl', needs: 'curl', always: true, script: `curl -sS ${url('curl')}`, expected: through('curl') },
  {
    name: 'wget',
    needs: 'wget',
    always: inCi,
    script: `wget -qO- ${url('wget')}`,
    expected: through('wget'),
  },
  {
    name: 'openssl s_client, which knows no proxy variables',
    needs: 'openssl',
    always: inCi,
    script: `printf 'GET /openssl HTTP/1.1\\r\\nHost: ${clientHost}\\r\\nConnection: close\\r\\n\\r\\n' |
      openssl s_client -quiet -verify_return_error -connect ${clientHost}:443 -servername ${clientHost} 2>&1`,
    expected: through('openssl'),
  },
  {
    name: 'git',
    needs: 'git',
    always: true,
    script: `git clone -q ${url('repository.git')} r && git -C r log --format=%s`,
    expected: /^first$/m,
  },
  {
    name: 'npm',
    needs: 'npm',
    always: inCi,
    script: 'npm install --no-audit --no-fund tiny 2>&1 && node -p \'require("tiny")\'',
    expected: /^tiny works$/m,
  },
  {
    name: 'the pinned Node, https',
    needs: 'node',
    always: true,
    script: `node -e ${node('node').https}`,
    expected: through('node-https'),
  },
  {
    name: 'the pinned Node, fetch',
    needs: 'node',
    always: true,
    script: `node -e ${node('node').fetch}`,
    expected: through('node-fetch'),
  },
  {
    name: 'the pinned Node, WebSocket',
    needs: 'node',
    always: true,
    script: `node -e 'const s = new WebSocket("wss://${clientHost}/socket"); s.onopen = () => s.send("over");
      s.onmessage = ({ data }) => { console.log(data); s.close(); }; s.onerror = (e) => console.log(e.message)'`,
    expected: /^echo over$/m,
  },
  {
    name: 'the system’s own Node, https',
    needs: '/usr/bin/node',
    always: inCi,
    script: `/usr/bin/node -e ${node('old').https}`,
    expected: through('old-https'),
  },
  {
    name: 'the system’s own Node, fetch',
    needs: '/usr/bin/node',
    always: inCi,
    script: `/usr/bin/node -e ${node('old').fetch}`,
    expected: through('old-fetch'),
  },
  {
    name: 'Python, urllib',
    needs: '/usr/bin/python3',
    always: true,
    script: `/usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen("${url('python')}").read().decode())'`,
    expected: through('python'),
  },
  {
    name: 'pip',
    needs: 'pip3',
    always: inCi,
    script: 'pip3 download -q --no-deps --disable-pip-version-check -d /tmp/wheels tiny 2>&1; ls /tmp/wheels',
    expected: /^tiny-1\.0-py3-none-any\.whl$/m,
  },
  {
    name: 'Java',
    needs: 'java',
    always: inCi,
    script: `cat > /tmp/A.java <<'J'\n${javaSource}\nJ\njava -Xmx128m /tmp/A.java 2>&1`,
    expected: /GET \/java through[\s\S]*GET \/java-client through/,
  },
  {
    name: 'Ruby, net/http',
    needs: 'ruby',
    always: inCi,
    script: `ruby -rnet/http -e 'puts Net::HTTP.get(URI("${url('ruby')}"))'`,
    expected: through('ruby'),
  },
  {
    name: 'gh',
    needs: 'gh',
    always: inCi,
    script: 'GH_TOKEN=gho_own gh api repos/Acme/Widgets/issues/7 2>&1',
    expected: /GET \/github\/repos\/Acme\/Widgets\/issues\/7 as \w+, ours/,
  },
  {
    name: 'kubectl',
    needs: 'kubectl',
    always: false,
    script: `kubectl --server=https://${clientHost} --token=own get --raw /kubectl 2>&1`,
    expected: through('kubectl'),
  },
  {
    name: 'the request of gh',
    needs: 'curl',
    always: true,
    script: `curl -sS ${gh.map((header) => `-H '${header}'`).join(' ')} https://api.github.com/repos/Acme/Widgets/issues/7`,
    expected: /GET \/github\/repos\/Acme\/Widgets\/issues\/7 as \w+, ours/,
  },
];
