// Makes jwt.json: `node make.mjs > jwt.json`. The signatures are node's (OpenSSL's), so that the
// hub's are judged by another implementation. Keys are made anew each time and not kept.
// "want" is what the token must be answered with: ok, bad (with words of the reason), ended or
// not_yet, at a time between the years 2000 and 2001.
import crypto from 'node:crypto';

const b64 = (x) => Buffer.from(x).toString('base64url');
const pair = (type, options) => crypto.generateKeyPairSync(type, options);
const rsa = pair('rsa', { modulusLength: 2048 });
const rsaJWKS = pair('rsa', { modulusLength: 2048 });
const rsaOther = pair('rsa', { modulusLength: 2048 });
const rsaSmall = pair('rsa', { modulusLength: 1024 });
const rsaPSS = pair('rsa', { modulusLength: 2048 });
const rsaEnc = pair('rsa', { modulusLength: 2048 });
const ec = pair('ec', { namedCurve: 'P-256' });
const ecJWKS = pair('ec', { namedCurve: 'P-256' });
const ecNoKid = pair('ec', { namedCurve: 'P-256' });
const ecOps = pair('ec', { namedCurve: 'P-256' });
const ecOther = pair('ec', { namedCurve: 'P-256' });
const ec384 = pair('ec', { namedCurve: 'P-384' });
const eck1 = pair('ec', { namedCurve: 'secp256k1' });
const ed = pair('ed25519');
const edJWKS = pair('ed25519');
const secret = 'an HS256 secret of the test vectors, 48 bytes long';
const octets = crypto.randomBytes(32);

const pem = (p) => p.publicKey.export({ type: 'spki', format: 'pem' });
const jwk = (p, more) => ({ ...p.publicKey.export({ format: 'jwk' }), ...more });

const keys = [
  jwk(rsaJWKS, { kid: 'rs', use: 'sig', alg: 'RS256', x5u: 'http://127.0.0.1:1/x5u' }),
  jwk(ecJWKS, { kid: 'es', key_ops: ['verify'] }),
  jwk(edJWKS, { kid: 'ed', alg: 'EdDSA' }),
  jwk(ecNoKid, {}),
  jwk(rsaSmall, { kid: 'small' }),
  jwk(rsaPSS, { kid: 'ps', alg: 'PS256' }),
  jwk(rsaEnc, { kid: 'enc', use: 'enc' }),
  jwk(ecOps, { kid: 'ops', key_ops: ['sign'] }),
  jwk(ec384, { kid: 'es384' }),
  jwk(eck1, { kid: 'k1' }),
  { kty: 'oct', kid: 'oct', alg: 'HS256', k: b64(octets) },
  { kty: 'EC', crv: 'P-256', kid: 'off-curve', x: b64(Buffer.alloc(32, 1)), y: b64(Buffer.alloc(32, 2)) },
  { kty: 'RSA', kid: 'hollow' },
  null,
  'text',
];

function sign(alg, key, text) {
  const data = Buffer.from(text);
  switch (alg) {
    case 'HS256': case 'HS384': case 'HS512':
      return crypto.createHmac('sha' + alg.slice(2), key).update(data).digest();
    case 'RS256': case 'RS512':
      return crypto.sign('sha' + alg.slice(2), data, key.privateKey);
    case 'PS256':
      return crypto.sign('sha256', data, { key: key.privateKey, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 });
    case 'ES256': case 'ES256K':
      return crypto.sign('sha256', data, { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
    case 'ES384':
      return crypto.sign('sha384', data, { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
    case 'EdDSA':
      return crypto.sign(null, data, key.privateKey);
  }
  throw new Error(alg);
}

const far = 4070908800; // 2099
const good = { exp: far, sub: 'alice', subscribe: ['orders.>'], publish: ['orders.new'] };
const tokens = [];
// Texts stand for themselves, so that what no JSON encoder writes can be written.
const spell = (x) => (typeof x === 'string' ? x : JSON.stringify(x));
function add(name, want, header, payload, key, { alg, reason, ...expect } = {}) {
  const text = b64(spell(header)) + '.' + b64(spell(payload));
  const token = text + '.' + b64(sign(alg ?? header.alg, key, text));
  tokens.push({ name, want, reason, ...expect, token });
}
const HS = { alg: 'HS256', typ: 'JWT' };
const hs = (name, want, payload, more) => add(name, want, HS, payload, secret, more);
const ok = { subject: 'jwt:sub:alice', subscribe: ['orders.>'], publish: ['orders.new'], expires: far };

// Signatures and keys.
add('HS256', 'ok', HS, good, secret, ok);
add('RS256', 'ok', { alg: 'RS256' }, good, rsa, ok);
add('ES256', 'ok', { alg: 'ES256' }, good, ec, ok);
add('EdDSA', 'ok', { alg: 'EdDSA' }, good, ed, ok);
add('PEM key, any kid', 'ok', { alg: 'RS256', kid: 'whatever' }, good, rsa, ok);
add('key set, RS256', 'ok', { alg: 'RS256', kid: 'rs' }, good, rsaJWKS, ok);
add('key set, ES256', 'ok', { alg: 'ES256', kid: 'es' }, good, ecJWKS, ok);
add('key set, EdDSA', 'ok', { alg: 'EdDSA', kid: 'ed' }, good, edJWKS, ok);
add('key set, no kid', 'ok', { alg: 'RS256' }, good, rsaJWKS, ok);
add('key set, key without kid', 'ok', { alg: 'ES256' }, good, ecNoKid, ok);
add('key set, key without kid, any kid', 'ok', { alg: 'ES256', kid: 'es' }, good, ecNoKid, ok);
add('embedded keys passed over', 'ok', {
  alg: 'RS256', jwk: jwk(rsaOther, {}), jku: 'http://127.0.0.1:1/', x5u: 'http://127.0.0.1:1/', x5c: ['AA=='], b64: true,
}, good, rsa, ok);

const sig = { reason: 'signature does not match any of the keys' };
const unknown = { reason: 'key (kid) is not known' };
const algs = { reason: 'algorithm (alg) must be one of' };
add('by another secret', 'bad', HS, good, 'another secret, and long enough to be one', sig);
add('by another key', 'bad', { alg: 'RS256' }, good, rsaOther, sig);
add('by another key, our kid', 'bad', { alg: 'RS256', kid: 'rs' }, good, rsaOther, sig);
add("by another issuer's key and kid", 'bad', { alg: 'RS256', kid: 'theirs' }, good, rsaOther, unknown);
add('by the embedded key', 'bad', { alg: 'RS256', jwk: jwk(rsaOther, {}) }, good, rsaOther, sig);
add('by our key, kid of another of ours', 'bad', { alg: 'ES256', kid: 'rs' }, good, ecJWKS, sig);
add('by our key, unknown kid', 'bad', { alg: 'RS256', kid: 'rs2' }, good, rsaJWKS, unknown);
for (const [name, text] of Object.entries({
  'PEM': pem(rsa), 'PEM, trimmed': pem(rsa).trim(), 'PEM of the set': pem(rsaJWKS),
  'DER': rsa.publicKey.export({ type: 'spki', format: 'der' }), 'EC PEM': pem(ec), 'Ed25519 raw': Buffer.from(jwk(ed).x, 'base64url'),
  'JWK': JSON.stringify(keys[0]), 'modulus': Buffer.from(keys[0].n, 'base64url'), 'nothing': '',
})) {
  add('HMAC by the public key: ' + name, 'bad', HS, good, text, sig);
  add('HMAC by the public key, kid: ' + name, 'bad', { ...HS, kid: 'rs' }, good, text, sig);
}
add('symmetric key of the set', 'bad', { ...HS, kid: 'oct' }, good, octets, sig);
add('RS256 said, HMAC made', 'bad', { alg: 'RS256' }, good, pem(rsa), { alg: 'HS256', ...sig });
add('HS256 said, RSA made', 'bad', HS, good, rsa, { alg: 'RS256', ...sig });
add('ES256 said, RSA made', 'bad', { alg: 'ES256', kid: 'rs' }, good, rsaJWKS, { alg: 'RS256', ...sig });
add('RS256 said, EC made', 'bad', { alg: 'RS256' }, good, ec, { alg: 'ES256', ...sig });
add('EdDSA said, HMAC made', 'bad', { alg: 'EdDSA' }, good, Buffer.from(jwk(ed).x, 'base64url'), { alg: 'HS256', ...sig });
add('PS256', 'bad', { alg: 'PS256' }, good, rsa, algs);
add('PS256 of the set', 'bad', { alg: 'PS256', kid: 'ps' }, good, rsaPSS, algs);
add('RS256 by a PS256 key', 'bad', { alg: 'RS256', kid: 'ps' }, good, rsaPSS, unknown);
add('RS512', 'bad', { alg: 'RS512' }, good, rsa, algs);
add('HS384', 'bad', { alg: 'HS384' }, good, secret, algs);
add('HS512', 'bad', { alg: 'HS512' }, good, secret, algs);
add('ES384', 'bad', { alg: 'ES384', kid: 'es384' }, good, ec384, algs);
add('ES256K', 'bad', { alg: 'ES256K', kid: 'k1' }, good, eck1, algs);
add('ES256 by secp256k1', 'bad', { alg: 'ES256', kid: 'k1' }, good, eck1, unknown);
add('alg in lower case', 'bad', { alg: 'hs256' }, good, secret, { alg: 'HS256', ...algs });
add('RSA of 1024 bits', 'bad', { alg: 'RS256', kid: 'small' }, good, rsaSmall, unknown);
add('key for encryption', 'bad', { alg: 'RS256', kid: 'enc' }, good, rsaEnc, unknown);
add('key not for verifying', 'bad', { alg: 'ES256', kid: 'ops' }, good, ecOps, unknown);
{
  const text = b64('{"alg":"ES256"}') + '.' + b64(JSON.stringify(good));
  const der = crypto.sign('sha256', Buffer.from(text), ec.privateKey);
  tokens.push({ name: 'ES256 in DER', want: 'bad', ...sig, token: text + '.' + b64(der) });
  tokens.push({ name: 'ES256 of zeros', want: 'bad', ...sig, token: text + '.' + b64(Buffer.alloc(64)) });
  tokens.push({ name: 'ES256, none', want: 'bad', ...sig, token: text + '.' });
}

// Headers.
add('crit', 'bad', { ...HS, crit: ['exp'], exp: far }, good, secret, { reason: 'crit' });
add('crit, empty', 'bad', { ...HS, crit: [] }, good, secret, { reason: 'crit' });
add('b64', 'bad', { ...HS, b64: false }, good, secret, { reason: 'b64' });
add('kid a number', 'bad', { ...HS, kid: 7 }, good, secret, { reason: 'kid must be a string' });
add('kid null', 'bad', { ...HS, kid: null }, good, secret, { reason: 'kid must be a string' });
add('typ a list', 'bad', { ...HS, typ: ['JWT'] }, good, secret, { reason: 'typ must be a string' });
const raw = (name, header, reason) => add(name, 'bad', header, good, secret, { alg: 'HS256', reason });
raw('no alg', {}, algs.reason);
raw('alg a list', { alg: ['HS256'] }, 'alg must be a string');
raw('alg null', { alg: null }, 'alg must be a string');
raw('ALG', { ALG: 'HS256' }, algs.reason);
raw('alg twice', '{"alg":"HS256","alg":"HS256"}', 'header has a duplicate member');
raw('alg twice, none', '{"alg":"none","\\u0061lg":"HS256"}', 'header has a duplicate member');
raw('header a list', '["HS256"]', 'header must be a JSON object');
raw('header null', 'null', 'header must be a JSON object');
raw('header empty', '', 'header must be a JSON object');
raw('header cut', '{"alg":"HS256"', 'header must be a JSON object');
raw('header and more', '{"alg":"HS256"}{}', 'header must be a JSON object');

// Claims.
hs('end with a fraction', 'ok', { ...good, exp: far + 0.5 }, { ...ok, expires: far + 0.5 });
hs('end with an exponent', 'ok', '{"exp":4.0709088e9}', { subject: '', expires: far });
hs('spaces and escapes', 'ok', '\n{ "\\u0065xp" :\t4070908800 , "sub" : "al\\u0069ce", "subscribe" : [ "orders.>" ] , "publish": [ ] }\r\n ',
  { subject: 'jwt:sub:alice', subscribe: ['orders.>'], expires: far });
hs('nothing but an end', 'ok', { exp: far }, { subject: '', expires: far });
hs('id and no subject', 'ok', { exp: far, jti: 'id-1' }, { subject: 'jwt:jti:id-1', id: 'id-1', expires: far });
hs('empty texts', 'ok', { exp: far, jti: '', sub: '' }, { subject: '', expires: far });
hs('issued in the future', 'ok', { ...good, iat: far - 1, nbf: 0 }, ok);
hs('other case is another claim', 'ok', { ...good, Subscribe: ['>'], EXP: 'x', SUB: 1 }, ok);
hs('unknown claims', 'ok', { ...good, scope: 'x', nested: { exp: 1, exp2: [null] } }, ok);
hs('narrower covered', 'ok', { ...good, subscribe: ['orders.a', 'orders.>', 'orders.>'] }, ok);
hs('issuer', 'ok', { ...good, iss: 'https://issuer.example' }, { ...ok, issuer: 'https://issuer.example' });
hs('audience', 'ok', { ...good, aud: 'hub' }, { ...ok, audience: 'hub' });
hs('audience in a list', 'ok', { ...good, aud: ['x', 'hub'] }, { ...ok, audience: 'hub' });
hs('issuer and audience not asked for', 'ok', { ...good, iss: 'anybody', aud: ['anything'] }, ok);

hs('ended', 'ended', { ...good, exp: 915148800 });
hs('ended in 1970', 'ended', { ...good, exp: 0 });
hs('not yet', 'not_yet', { ...good, nbf: far - 1 });
const iss = { reason: 'issuer (iss) is not the expected one', issuer: 'https://issuer.example' };
hs('another issuer', 'bad', { ...good, iss: 'https://issuer.example.evil.test' }, iss);
hs('issuer in another case', 'bad', { ...good, iss: 'https://ISSUER.example' }, iss);
hs('issuer with a slash', 'bad', { ...good, iss: 'https://issuer.example/' }, iss);
hs('no issuer', 'bad', good, iss);
hs('ended, of another issuer', 'bad', { ...good, exp: 0, iss: 'x' }, iss);
const aud = { reason: 'audience (aud) does not include the expected one', audience: 'hub' };
hs('another audience', 'bad', { ...good, aud: 'hub2' }, aud);
hs('other audiences', 'bad', { ...good, aud: ['hub2', 'HUB', ''] }, aud);
hs('no audiences', 'bad', { ...good, aud: [] }, aud);
hs('no audience', 'bad', good, aud);

const type = (name, payload, reason) => hs(name, 'bad', payload, { reason });
type('no end', { sub: 'alice' }, 'it has no expiry time (exp)');
for (const claim of ['exp', 'nbf', 'iat']) {
  for (const value of ['"4070908800"', 'null', 'true', '[4070908800]', '{}', '-1', '-0', '1e300', '1e999', '253402300800']) {
    const others = claim === 'exp' ? '' : '"exp":4070908800,';
    type(`${claim}: ${value}`, `{${others}"${claim}":${value}}`, claim + ' must be a number of seconds');
  }
}
for (const value of ['NaN', 'Infinity', '+1', '01', '1.', '.5', '0x10', '1_0', "'1'", ''])
  type('exp: ' + value, `{"exp":${value}}`, 'payload must be a JSON object');
for (const claim of ['iss', 'sub', 'jti'])
  for (const value of [null, 1, true, ['x'], { x: 1 }]) type(`${claim}: ${spell(value)}`, { ...good, [claim]: value }, claim + ' must be a string');
for (const value of [null, 1, true, {}, [1], [null], ['hub', ['x']]]) type('aud: ' + spell(value), { ...good, aud: value }, 'aud must be a list of strings');
for (const claim of ['subscribe', 'publish']) {
  for (const value of [null, '>', 1, true, {}, { 0: '>' }, [1], [null], ['a', ['b']]])
    type(`${claim}: ${spell(value)}`, { ...good, [claim]: value }, claim + ' must be a list of strings');
  for (const value of ['', 'a..b', 'a*', '>.a', 'a b', '.'])
    type(`${claim}: ${spell(value)}`, { ...good, [claim]: ['a', value] }, claim + ' contains an invalid topic filter');
}
type('more filters than a list may have', { ...good, publish: Array.from({ length: 1025 }, (_, i) => i.toString(36)) }, 'publish has more than 1024 filters');
type('exp twice', '{"exp":4070908800,"exp":4070908800}', 'payload has a duplicate member');
type('exp twice, escaped', '{"exp":1,"\\u0065xp":4070908800}', 'payload has a duplicate member');
type('unknown claim twice', '{"exp":4070908800,"x":1,"x":1}', 'payload has a duplicate member');
type('subject too long', { ...good, sub: 'x'.repeat(257) }, 'subject (sub)');
type('subject of two lines', { ...good, sub: 'a\nb' }, 'subject (sub)');
type('id too long', { ...good, jti: 'x'.repeat(257) }, 'id (jti)');
type('id of two lines', { ...good, jti: 'a\nb' }, 'id (jti)');
type('id as a comment', { ...good, jti: '#a' }, 'id (jti)');
type('id with a space', { ...good, jti: ' a' }, 'id (jti)');
for (const value of ['', 'null', '[]', '"text"', '1', '{', '{"exp":4070908800', '{"exp":4070908800}}', '{"exp":4070908800,}', '{"exp":4070908800}x', '{exp:4070908800}'])
  type('payload: ' + value, value, 'payload must be a JSON object');
type('payload a token', tokens[0].token, 'payload must be a JSON object');
{
  const text = b64(JSON.stringify(HS)) + '.' + Buffer.concat([Buffer.from('{"exp":4070908800,"sub":"'), Buffer.from([0xff]), Buffer.from('"}')]).toString('base64url');
  tokens.push({ name: 'not UTF-8', want: 'bad', reason: 'payload is not UTF-8', token: text + '.' + b64(sign('HS256', secret, text)) });
}

const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
const es = tokens.find((t) => t.name === 'ES256');
const [head, body, signature] = es.token.split('.');
const rs = Buffer.from(signature, 'base64url');
const s = order - BigInt('0x' + rs.subarray(32).toString('hex'));
const other = Buffer.concat([rs.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
tokens.push({ ...es, name: 'ES256, the other s', sameAs: 'ES256', token: [head, body, b64(other)].join('.') });

console.log(JSON.stringify({ secret, public: pem(rsa) + pem(ec) + pem(ed), jwks: { keys }, tokens }, null, 1));
